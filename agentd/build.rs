//! Where the program looks for llama.cpp's libraries, in a build that has them beside it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CPU_VARIANTS").is_some() {
        // As DT_RPATH, which counts for the libraries' own libraries too; the newer DT_RUNPATH does not.
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib/agentd");
    }
}

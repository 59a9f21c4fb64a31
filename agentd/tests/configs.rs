//! Every config that is shipped or shown is one that the daemon takes.

use std::path::{Path, PathBuf};

use agentd::config::Config;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_file_in_configs_is_taken() {
    let mut taken = 0;
    for entry in std::fs::read_dir(root().join("configs")).unwrap() {
        let path = entry.unwrap().path();
        // The catalogue of models is TOML too, and has its own test.
        if path.extension().is_none_or(|e| e != "toml") || path.ends_with("models.toml") {
            continue;
        }
        if let Err(error) = Config::load(&path) {
            panic!("{}", agentd::cli::chain(&error));
        }
        taken += 1;
    }
    assert!(taken >= 4, "default, demo, raspberry-pi, jetson");
}

#[test]
fn every_piece_of_toml_in_the_readme_is_taken() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let pieces: Vec<&str> = readme
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(piece, _)| piece))
        .collect();
    assert!(pieces.len() >= 2);
    for piece in pieces {
        if let Err(error) = Config::parse(piece, Path::new("README.md")) {
            panic!("{piece}\n{}", agentd::cli::chain(&error));
        }
    }
}

#[test]
fn the_demo_shows_only_sentences_that_it_can_know() {
    let config = Config::load(&root().join("configs/demo.toml")).unwrap();
    let reflex = agentd::agent::reflex::Reflex::new(&config.tool).unwrap();
    for known in [
        "turn on the pump",
        "average temperature over the last 24 hours",
        "set the fan speed to 900 percent",
        "set the fan speed to 40 percent",
        "turn off the lamp",
    ] {
        assert!(reflex.find(known).is_some(), "{known}");
    }
    assert!(reflex.find("I can't see a thing in here, give me some light please").is_none());
}

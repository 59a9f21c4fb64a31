//! What a worker is told on its command line: see [`WorkerArgs`](super::worker::WorkerArgs).

use super::config::{ModelConfig, Source};

/// The arguments of the program that is started for a model.
pub(super) fn arguments(config: &ModelConfig, source: &Source) -> Vec<String> {
    let (option, path) = match source {
        Source::File { path, .. } => ("--model", path),
        Source::Script(path) => ("--scripted", path),
    };
    let ModelConfig { context, threads, parallel, memory_mib, guess_tokens, .. } = config;
    let [context, threads, parallel, memory, guess] =
        [*context, *threads, parallel.get(), *memory_mib, *guess_tokens].map(|n| n.to_string());
    let path = path.to_string_lossy().into_owned();
    let mut arguments: Vec<String> = [
        ["worker", option, &path].as_slice(),
        &["--context", &context, "--threads", &threads, "--parallel", &parallel],
        &["--memory-mib", &memory, "--guess-tokens", &guess],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect();
    if let (Some(adapter), Source::File { .. }) = (&config.adapter, source) {
        arguments.extend(["--adapter".to_owned(), adapter.to_string_lossy().into_owned()]);
    }
    // A name that the catalogue does not know was refused with the config.
    if let (Ok(Some(draft)), Source::File { .. }) = (config.draft_path(), source) {
        arguments.extend(["--draft".to_owned(), draft.to_string_lossy().into_owned()]);
    }
    if let Some(layers) = config.gpu_layers {
        arguments.extend(["--gpu-layers".to_owned(), layers.to_string()]);
    }
    if let Some(folder) = &config.prefixes {
        arguments.extend(["--prefixes".to_owned(), folder.to_string_lossy().into_owned()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_is_told_what_the_config_says() {
        let prefixes = Some("/kept".into());
        let adapter = Some("/a.gguf".into());
        let config =
            ModelConfig { context: 512, threads: 3, adapter, prefixes, ..ModelConfig::default() };
        let source = Source::File { name: "m".into(), path: "/m.gguf".into() };
        let told = arguments(&config, &source).join(" ");
        let expected = "worker --model /m.gguf --context 512 --threads 3 --parallel 4 --memory-mib 0 --guess-tokens 6 --adapter /a.gguf --prefixes /kept";
        assert_eq!(told, expected);
        let draft = Some("/tiny.gguf".into());
        let config = ModelConfig { gpu_layers: Some(0), draft, ..config };
        assert!(
            arguments(&config, &source).join(" ").contains("--draft /tiny.gguf --gpu-layers 0")
        );
        let script = arguments(&config, &Source::Script("/s.toml".into()));
        assert!(!script.contains(&"--adapter".to_owned()));
    }
}

//! A model that is in memory, before there is an engine over it.

use std::path::Path;
use std::sync::Arc;

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};

use super::adapter::Adapter;
use super::devices::{self, Device, Plan};
use super::draft;
use super::kernels;
use super::llama::Engine;
use super::words::Ahead;

/// A model that is in memory.
pub struct Loaded {
    // Fields drop in order: the model goes before the backend.
    pub(super) model: Arc<LlamaModel>,
    pub(super) adapter: Option<(LlamaLoraAdapter, Adapter)>,
    pub(super) in_turns: bool,
    pub(super) draft: Option<LlamaModel>,
    pub(super) backend: LlamaBackend,
}

impl Loaded {
    /// Maps the file and builds the model, where `plan` puts it. `progress` gets 0 to 1 and gives `false` to leave off.
    pub fn from_file(
        path: &Path,
        progress: impl FnMut(f32) -> bool + 'static,
        plan: impl FnOnce(&[Device]) -> Plan,
    ) -> Result<(Self, Plan), String> {
        kernels::load();
        let backend = LlamaBackend::init().map_err(|e| e.to_string())?;
        let plan = plan(&devices::all());
        Ok((Self::load(backend, path, progress, plan.layers)?, plan))
    }

    /// The same, without llama.cpp's log, which only a supervisor reads.
    pub(crate) fn quietly(path: &Path) -> Result<Self, String> {
        kernels::load();
        let mut backend = LlamaBackend::init().map_err(|e| e.to_string())?;
        backend.void_logs();
        Self::load(backend, path, |_| true, 0)
    }

    fn load(
        backend: LlamaBackend,
        path: &Path,
        progress: impl FnMut(f32) -> bool + 'static,
        gpu_layers: u32,
    ) -> Result<Self, String> {
        let params = LlamaModelParams::default()
            .with_use_mmap(true)
            .with_n_gpu_layers(gpu_layers)
            .with_progress_callback(progress);
        let model = model_of(&backend, path, &params)?;
        Ok(Self { adapter: None, in_turns: false, draft: None, model: Arc::new(model), backend })
    }

    /// Loads a smaller model that guesses what this one writes ([`draft`](super::draft)), onto the processor.
    pub fn draft_with(&mut self, path: &Path) -> Result<(), String> {
        let params = LlamaModelParams::default().with_use_mmap(true).with_n_gpu_layers(0);
        let draft = model_of(&self.backend, path, &params)?;
        if let Some(why) = draft::fault(&self.model, &draft) {
            return Err(format!("{} cannot guess for this model: {why}", path.display()));
        }
        self.draft = Some(draft);
        Ok(())
    }

    /// Puts an adapter onto the model, before there is an engine over it.
    pub fn adapt(&mut self, adapter: Adapter) -> Result<(), String> {
        let model = Arc::get_mut(&mut self.model).ok_or("the model is in use")?;
        let loaded = model.lora_adapter_init(&adapter.path).map_err(|e| {
            format!("llama.cpp cannot load the adapter {}: {e}", adapter.path.display())
        })?;
        self.in_turns |= adapter.in_turns;
        self.adapter = Some((loaded, adapter));
        Ok(())
    }

    /// Says that the model's own weights were tuned on terse turns.
    pub fn speaks_turns(&mut self) {
        self.in_turns = true;
    }

    /// The model itself.
    pub(crate) fn model(&self) -> Arc<LlamaModel> {
        Arc::clone(&self.model)
    }

    /// An engine over the model: `threads` decode, and up to `asks` asks share a context of `n_ctx` tokens. `ahead` is its
    /// vocabulary, where that was made ready while the model was loaded.
    pub fn engine(
        &mut self,
        n_ctx: u32,
        threads: u32,
        asks: u32,
        ahead: Option<Ahead>,
    ) -> Result<Engine<'_>, String> {
        Engine::new(self, n_ctx, threads, asks, ahead)
    }
}

fn model_of(
    backend: &LlamaBackend,
    path: &Path,
    params: &LlamaModelParams,
) -> Result<LlamaModel, String> {
    LlamaModel::load_from_file(backend, path, params)
        .map_err(|e| format!("llama.cpp cannot load {}: {e}", path.display()))
}

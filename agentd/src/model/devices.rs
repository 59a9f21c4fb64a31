//! Where a model computes: on the processor, or, in a build with one of the features `cuda`, `vulkan` and `opencl`, as far
//! as it fits on a GPU. What llama.cpp tells of its devices decides at the start of a worker; nothing is configured
//! unless somebody wants it otherwise (`model.gpu_layers`).

use llama_cpp_2::{LlamaBackendDeviceType as Kind, list_llama_ggml_backend_devices};

use super::kernels;
use super::needs::Needs;

/// What a GPU is left beside weights and context, in bytes: what a batch is computed in, and the driver's own.
const LEFT: u64 = 256 * 1024 * 1024;

/// A device that can compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// As llama.cpp names it: `CPU`, `CUDA0`, `Vulkan0`.
    pub name: String,
    /// What it is: `NVIDIA Orin`, `CPU, kernels for armv8.2_2`.
    pub description: String,
    /// Whether it is a GPU, a part of the processor's chip or a card of its own.
    pub is_gpu: bool,
    /// Memory that nobody uses, in bytes.
    pub free: u64,
    /// Memory in all, in bytes.
    pub total: u64,
}

/// Where a model's layers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many are on the GPU.
    pub layers: u32,
    /// The device, as people are told of it.
    pub told: String,
}

/// The devices that this build can use on this board.
pub fn all() -> Vec<Device> {
    kernels::load();
    let kernels = kernels::generation().map(|name| format!(", kernels for {name}"));
    let kernels = kernels.unwrap_or_default();
    let device = |device: llama_cpp_2::LlamaBackendDevice| {
        let is_gpu = matches!(device.device_type, Kind::Gpu | Kind::IntegratedGpu);
        let description = device.description + if is_gpu { "" } else { &kernels };
        let (free, total) = (device.memory_free as u64, device.memory_total as u64);
        Device { name: device.name, description, is_gpu, free, total }
    };
    list_llama_ggml_backend_devices().into_iter().map(device).collect()
}

/// Where a model of so many layers is put, and at most `most` of them on a GPU where somebody says so.
pub fn plan(devices: &[Device], needs: &Needs, layers: u64, most: Option<u32>) -> Plan {
    let on_processor = || {
        let cpu = devices.iter().find(|device| !device.is_gpu);
        Plan { layers: 0, told: cpu.map_or_else(|| "CPU".into(), |cpu| cpu.description.clone()) }
    };
    // The output is a layer of its own to llama.cpp.
    let all = layers + 1;
    let most = most.map_or(all, u64::from).min(all);
    let Some(gpu) = devices.iter().find(|device| device.is_gpu).filter(|_| most > 0) else {
        return on_processor();
    };
    let of_each = (needs.weights.saturating_add(needs.context) / all).max(1);
    let fit = (gpu.free.saturating_sub(LEFT) / of_each).min(most);
    if fit == 0 {
        return on_processor();
    }
    let told = format!("{} ({}), {fit} of {all} layers", gpu.name, gpu.description);
    Plan { layers: u32::try_from(fit).unwrap_or(u32::MAX), told }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(free: u64) -> [Device; 2] {
        let gpu = Device {
            name: "CUDA0".into(),
            description: "NVIDIA Orin".into(),
            is_gpu: true,
            free,
            total: free,
        };
        let cpu = Device {
            name: "CPU".into(),
            description: "Cortex-A78AE".into(),
            is_gpu: false,
            free: 0,
            total: 0,
        };
        [gpu, cpu]
    }

    const NEEDS: Needs = Needs { weights: 20_000, context: 11_000 };

    #[test]
    fn as_many_layers_as_fit_are_put_on_the_gpu() {
        let layers = |free| plan(&devices(free), &NEEDS, 30, None).layers;
        // 1000 bytes each, the output's too.
        assert_eq!(layers(LEFT + 31_000), 31);
        assert_eq!(layers(LEFT + 30_999), 30);
        assert_eq!(layers(u64::MAX), 31);
        let told = plan(&devices(LEFT + 2_500), &NEEDS, 30, None).told;
        assert_eq!(told, "CUDA0 (NVIDIA Orin), 2 of 31 layers");
    }

    #[test]
    fn without_a_gpu_or_room_on_it_or_where_nobody_wants_it_the_processor_computes() {
        let on_cpu = Plan { layers: 0, told: "Cortex-A78AE".into() };
        assert_eq!(plan(&devices(LEFT + 999), &NEEDS, 30, None), on_cpu);
        assert_eq!(plan(&devices(u64::MAX), &NEEDS, 30, Some(0)), on_cpu);
        assert_eq!(plan(&devices(u64::MAX)[1..], &NEEDS, 30, None), on_cpu);
        assert_eq!(plan(&devices(u64::MAX), &NEEDS, 30, Some(7)).layers, 7);
        assert_eq!(plan(&[], &NEEDS, 30, None).told, "CPU");
    }

    #[test]
    fn this_board_has_a_processor() {
        let devices = all();
        assert!(devices.iter().any(|device| !device.is_gpu), "{devices:?}");
    }
}

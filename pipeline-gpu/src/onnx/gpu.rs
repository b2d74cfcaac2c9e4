//! How busy a GPU is, as NVIDIA's driver says.

use std::{env, fmt, sync::OnceLock};

use nvml_wrapper::{Device, Nvml, error::NvmlError};

/// Asks NVIDIA's driver about its GPUs.
///
/// The library of the driver (NVML) is loaded when the program runs. Where there is none, the
/// monitor says why, and knows no GPU; that is no error.
///
/// ```
/// use pipeline_gpu::onnx::GpuMonitor;
///
/// let monitor = GpuMonitor::open();
/// match monitor.usage(0) {
///     Some(usage) => println!("{}: {} of {} bytes", usage.name, usage.memory_used, usage.memory_total),
///     None => println!("no GPU: {}", monitor.unavailable().unwrap_or("it does not answer")),
/// }
/// ```
pub struct GpuMonitor {
    driver: Result<Nvml, String>,
}

/// What a GPU does at this moment, whoever uses it. Watchers are told by
/// [`OnnxModel::report_device`](super::OnnxModel::report_device).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct GpuUsage {
    /// Its name, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// The bytes of its memory that are taken.
    pub memory_used: u64,
    /// The bytes of its memory.
    pub memory_total: u64,
    /// The percent of the last second or less in which it worked; none where the driver does not
    /// say.
    pub busy_percent: Option<u32>,
}

impl GpuMonitor {
    /// Loads the library of the driver. This takes some milliseconds, so keep the monitor.
    #[must_use]
    pub fn open() -> Self {
        let driver = Nvml::init().map_err(|error| error.to_string());
        Self { driver }
    }

    /// Returns why there is no GPU to ask about; none if there is a driver.
    #[must_use]
    pub fn unavailable(&self) -> Option<&str> {
        self.driver.as_ref().err().map(String::as_str)
    }

    /// Returns how many GPUs the driver knows, those included that CUDA is not to see.
    #[must_use]
    pub fn count(&self) -> u32 {
        let driver = self.driver.as_ref().ok();
        driver
            .and_then(|driver| driver.device_count().ok())
            .unwrap_or(0)
    }

    /// Returns what the GPU does that CUDA counts as number `gpu`, in the order of
    /// `CUDA_VISIBLE_DEVICES`; none if there is no such GPU, or it does not answer.
    ///
    /// None too where it is not known which GPU that is: of unlike ones CUDA counts the fastest first,
    /// unless `CUDA_DEVICE_ORDER` is `PCI_BUS_ID`, as the driver counts.
    #[must_use]
    pub fn usage(&self, gpu: u32) -> Option<GpuUsage> {
        let driver = self.driver.as_ref().ok()?;
        let visible = env::var("CUDA_VISIBLE_DEVICES").ok();
        let device = match seen(visible.as_deref(), gpu)? {
            Seen::Number(_) if !self.is_in_order() => return None,
            Seen::Number(number) => driver.device_by_index(number),
            Seen::Uuid(uuid) => driver.device_by_uuid(uuid),
        };
        let usage = device.and_then(|device| usage(&device));
        usage
            .map_err(|error| tracing::debug!(gpu, %error, "a GPU does not answer"))
            .ok()
    }

    /// Whether CUDA counts the GPUs as the driver does, or it makes no difference.
    fn is_in_order(&self) -> bool {
        if env::var("CUDA_DEVICE_ORDER").is_ok_and(|order| order == "PCI_BUS_ID") {
            return true;
        }
        let Ok(driver) = &self.driver else {
            return false;
        };
        let name = |number| driver.device_by_index(number)?.name();
        let first = name(0).ok();
        (1..self.count()).all(|number| name(number).ok() == first)
    }
}

/// What a GPU does, asked of a monitor that the process keeps once a model runs on one.
pub(super) fn usage_of(gpu: u32) -> Option<GpuUsage> {
    static MONITOR: OnceLock<GpuMonitor> = OnceLock::new();
    MONITOR.get_or_init(GpuMonitor::open).usage(gpu)
}

fn usage(device: &Device<'_>) -> Result<GpuUsage, NvmlError> {
    let memory = device.memory_info()?;
    Ok(GpuUsage {
        name: device.name()?,
        memory_used: memory.used,
        memory_total: memory.total,
        // Parts of a GPU that is split have no such figure.
        busy_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
    })
}

/// How the driver knows a GPU.
#[derive(Debug, PartialEq)]
enum Seen<'a> {
    Number(u32),
    Uuid(&'a str),
}

/// Which GPU CUDA counts as number `gpu`.
fn seen(visible: Option<&str>, gpu: u32) -> Option<Seen<'_>> {
    let Some(visible) = visible else {
        return Some(Seen::Number(gpu));
    };
    let entry = visible.split(',').nth(gpu as usize)?.trim();
    if entry.starts_with("GPU-") || entry.starts_with("MIG-") {
        return Some(Seen::Uuid(entry));
    }
    entry.parse().ok().map(Seen::Number)
}

impl fmt::Debug for GpuMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuMonitor")
            .field("count", &self.count())
            .field("unavailable", &self.unavailable())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_counted_as_cuda_sees_them() {
        assert_eq!(seen(None, 1), Some(Seen::Number(1)));
        assert_eq!(seen(Some("3, 1"), 1), Some(Seen::Number(1)));
        assert_eq!(seen(Some("3,1"), 0), Some(Seen::Number(3)));
        assert_eq!(seen(Some("GPU-5a,1"), 0), Some(Seen::Uuid("GPU-5a")));
        assert_eq!(seen(Some("3"), 1), None);
        assert_eq!(seen(Some(""), 0), None);
        assert_eq!(seen(Some("-1"), 0), None);
    }

    #[test]
    fn a_machine_without_a_driver_says_so() {
        let monitor = GpuMonitor::open();
        match monitor.unavailable() {
            Some(reason) => {
                assert!(reason.contains("nvidia-ml"), "{reason}");
                assert_eq!((monitor.count(), monitor.usage(0)), (0, None));
            }
            None => assert!(monitor.count() > 0, "a driver, and no GPU"),
        }
    }
}

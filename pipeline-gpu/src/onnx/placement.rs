//! Where a model may run, and where it does.

use std::{collections::BTreeMap, fmt};

use progress_core::Reporter;

use super::task_error::without_paths;

/// Where a model is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Device {
    /// The first GPU by CUDA if there is one, the CPU otherwise. [`Placement`] says which it is,
    /// and why.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU by CUDA; loading fails if it cannot be used. GPUs count from 0 as CUDA counts them.
    Cuda(u32),
    /// A GPU by TensorRT, with CUDA for what TensorRT cannot run; loading fails if it cannot be
    /// used. TensorRT builds its engine when the model is loaded, which takes minutes unless a
    /// [cache](super::ModelBuilder::engine_cache) holds it.
    TensorRt(u32),
}

impl Device {
    /// What to try, in order.
    pub(super) fn providers(self) -> Vec<Provider> {
        match self {
            Self::Auto => vec![Provider::Cuda, Provider::Cpu],
            Self::Cpu => vec![Provider::Cpu],
            Self::Cuda(_) => vec![Provider::Cuda],
            Self::TensorRt(_) => vec![Provider::TensorRt],
        }
    }

    /// The number of the GPU.
    pub(super) fn gpu(self) -> u32 {
        match self {
            Self::Auto | Self::Cpu => 0,
            Self::Cuda(gpu) | Self::TensorRt(gpu) => gpu,
        }
    }
}

/// What runs a model: one of the runtime's execution providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// The CPU.
    Cpu,
    /// NVIDIA's GPUs.
    Cuda,
    /// NVIDIA's GPUs, by engines that are built for the model.
    TensorRt,
}

impl Provider {
    /// Returns the runtime's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::TensorRt => "TensorrtExecutionProvider",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let all = [Self::Cpu, Self::Cuda, Self::TensorRt];
        all.into_iter().find(|provider| provider.name() == name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A provider that a model does not run on, though it was to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fallback {
    /// The provider.
    pub provider: Provider,
    /// Why not.
    pub reason: String,
}

/// What one provider did of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Share {
    /// How many operations of the model it ran.
    pub operations: u64,
    /// The microseconds that the runtime spent in them; on a GPU that is the time to start them.
    pub micros: u64,
}

/// The shares of a run by the runtime's names for providers.
pub(super) type Shares = BTreeMap<String, Share>;

/// Where a model really runs.
///
/// A provider that takes a model may still run none of it: each operation that it does not know
/// goes to the CPU, without a word. So the first run is measured, and this says what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    provider: Provider,
    gpu: u32,
    fallbacks: Vec<Fallback>,
    shares: Option<Shares>,
}

impl Placement {
    /// What a run showed that was to be by `taken`; without one, what was meant.
    pub(super) fn new(
        taken: Provider,
        gpu: u32,
        mut fallbacks: Vec<Fallback>,
        shares: Option<Shares>,
    ) -> Self {
        let most = shares.as_ref().and_then(|shares| most_by(shares, taken));
        if let Some(reason) = shares
            .as_ref()
            .and_then(|shares| elsewhere(shares, taken, most))
        {
            fallbacks.push(Fallback {
                provider: taken,
                reason,
            });
        }
        Self {
            provider: most.unwrap_or(taken),
            gpu,
            fallbacks,
            shares,
        }
    }

    /// Returns what runs most of the model's operations.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Returns where that is: `cpu`, or `cuda:0` for the first GPU.
    #[must_use]
    pub fn device(&self) -> String {
        match self.provider {
            Provider::Cpu => "cpu".to_owned(),
            Provider::Cuda | Provider::TensorRt => format!("cuda:{}", self.gpu),
        }
    }

    /// Returns the number of the GPU that it runs on.
    #[must_use]
    pub fn gpu(&self) -> Option<u32> {
        (self.provider != Provider::Cpu).then_some(self.gpu)
    }

    /// Returns the providers that come before this one and do not run it, each with the reason.
    #[must_use]
    pub fn fallbacks(&self) -> &[Fallback] {
        &self.fallbacks
    }

    /// Returns why it does not run where it was to, if it does not.
    #[must_use]
    pub fn fallback_reason(&self) -> Option<String> {
        let reasons = self
            .fallbacks
            .iter()
            .map(|one| format!("{}: {}", one.provider, one.reason));
        let reasons: Vec<_> = reasons.collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Tells whether a measured run showed it. Without one it is what the provider promised.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.shares.is_some()
    }

    /// Returns how many operations of the measured run were `provider`'s; none if no run was
    /// measured.
    #[must_use]
    pub fn share(&self, provider: Provider) -> Option<Share> {
        let shares = self.shares.as_ref()?;
        Some(shares.get(provider.name()).copied().unwrap_or_default())
    }

    /// Says it to whoever watches `reporter`, as metadata: `device`, `provider`, `provider_proven`,
    /// and `fallback_reason`, null where there is none.
    pub fn report(&self, reporter: &Reporter) {
        reporter.metadata("device", self.device());
        reporter.metadata("provider", self.provider.name());
        reporter.metadata("provider_proven", self.is_proven());
        // Also where there is none: that of a model before this one is not of this one.
        let reason = self.fallback_reason();
        reporter.metadata("fallback_reason", reason.as_deref().map(without_paths));
    }
}

/// Which of the known providers ran most operations; `taken` where it ran as many as another.
fn most_by(shares: &Shares, taken: Provider) -> Option<Provider> {
    let known = shares
        .iter()
        .filter_map(|(name, share)| Some((Provider::of(name)?, share)));
    let most = known.max_by_key(|(provider, share)| (share.operations, *provider == taken));
    most.map(|(provider, _)| provider)
}

/// Why most of it is not by `taken`.
fn elsewhere(shares: &Shares, taken: Provider, most: Option<Provider>) -> Option<String> {
    let most = most.filter(|most| *most != taken)?;
    // TensorRT leaves what it does not know to CUDA by design, yet most of it is not what was asked
    // for.
    let all: u64 = shares.values().map(|share| share.operations).sum();
    let own = shares.get(taken.name()).map_or(0, |share| share.operations);
    Some(match own {
        0 => format!("it was registered, and none of the model's {all} operations ran on it"),
        _ => format!("it ran {own} of the model's {all} operations; most ran on {most}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(all: &[(Provider, u64)]) -> Shares {
        let share = |operations| Share {
            operations,
            micros: 1,
        };
        all.iter()
            .map(|(provider, count)| (provider.name().to_owned(), share(*count)))
            .collect()
    }

    fn cuda(all: &[(Provider, u64)]) -> Placement {
        Placement::new(Provider::Cuda, 1, Vec::new(), Some(shares(all)))
    }

    #[test]
    fn a_gpu_that_runs_most_is_the_device() {
        let placement = cuda(&[(Provider::Cuda, 9), (Provider::Cpu, 3)]);
        assert_eq!(
            (placement.device(), placement.gpu()),
            ("cuda:1".into(), Some(1))
        );
        assert_eq!(placement.fallback_reason(), None);
        assert!(placement.is_proven());
        assert_eq!(
            placement.share(Provider::Cpu).map(|share| share.operations),
            Some(3)
        );
        assert_eq!(placement.share(Provider::TensorRt), Some(Share::default()));
        // As many of each is not "most elsewhere".
        assert_eq!(
            cuda(&[(Provider::Cuda, 2), (Provider::Cpu, 2)]).provider(),
            Provider::Cuda
        );
    }

    #[test]
    fn a_gpu_that_was_registered_and_runs_nothing_is_not_the_device() {
        let placement = cuda(&[(Provider::Cpu, 3)]);
        assert_eq!((placement.device(), placement.gpu()), ("cpu".into(), None));
        let reason = placement.fallback_reason().unwrap();
        assert!(
            reason.contains("none of the model's 3 operations ran on it"),
            "{reason}"
        );
    }

    #[test]
    fn a_gpu_that_runs_little_is_said_so() {
        let reason = cuda(&[(Provider::Cuda, 2), (Provider::Cpu, 8)])
            .fallback_reason()
            .unwrap();
        assert!(
            reason.contains("2 of the model's 10 operations"),
            "{reason}"
        );
    }

    #[test]
    fn without_a_measured_run_nothing_is_proven() {
        let placement = Placement::new(Provider::Cuda, 0, Vec::new(), None);
        assert!(!placement.is_proven());
        assert_eq!(placement.share(Provider::Cuda), None);
        assert_eq!(placement.device(), "cuda:0");
    }
}

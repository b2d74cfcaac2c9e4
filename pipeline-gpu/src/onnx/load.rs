//! Finds the provider that a model runs on, and says what is being done meanwhile.

use progress_core::{Level, Reporter};

use super::{
    error::OnnxError,
    interrupt::Interrupt,
    options::Options,
    placement::{Fallback, Placement, Provider, Shares},
    session::Session,
    source::ModelSource,
    task_error::without_paths,
};

/// What is needed to open a session of the model.
#[derive(Clone)]
pub(super) struct Loader {
    pub(super) source: ModelSource,
    pub(super) options: Options,
    pub(super) interrupt: Interrupt,
    pub(super) reporter: Reporter,
}

/// A session, and what was learned while it was opened.
pub(super) struct Opened {
    pub(super) session: Session,
    /// What it was opened on, for the sessions beside it.
    pub(super) provider: Provider,
    pub(super) placement: Placement,
}

impl Loader {
    /// Opens the first session on the first provider that will do.
    pub(super) fn first(&self) -> Result<Opened, OnnxError> {
        let providers = self.options.providers();
        let mut fallbacks: Vec<Fallback> = Vec::new();
        for (at, provider) in providers.iter().copied().enumerate() {
            let is_last = at + 1 == providers.len();
            let error = match self.open(provider, self.options.profile, 1) {
                Ok((session, shares)) => {
                    let gpu = self.options.device.gpu();
                    let placement = Placement::new(provider, gpu, fallbacks.clone(), shares);
                    if provider == Provider::Cpu || !is_idle(&placement, provider) {
                        placement.report(&self.reporter);
                        tracing::info!(
                            model = self.source.name(),
                            device = placement.device(),
                            provider = %placement.provider(),
                            proven = placement.is_proven(),
                            fallback_reason = placement.fallback_reason(),
                            "model loaded"
                        );
                        return Ok(Opened {
                            session,
                            provider,
                            placement,
                        });
                    }
                    let last = placement.fallbacks().last();
                    OnnxError::ProviderUnavailable {
                        tried: last.cloned().into_iter().collect(),
                    }
                }
                Err(error) => error,
            };
            match error {
                OnnxError::ProviderUnavailable { tried } => fallbacks.extend(tried),
                error if is_last || !may_be_of_provider(&error) => return Err(error),
                error => fallbacks.push(Fallback {
                    provider,
                    reason: error.to_string(),
                }),
            }
            if let Some(Fallback { provider, reason }) = fallbacks.last() {
                tracing::warn!(model = self.source.name(), %provider, reason, "provider not used");
                let line = format!("{provider} is not used: {}", without_paths(reason));
                self.reporter.log(Level::WARN, line);
                self.end_engine(*provider);
            }
        }
        Err(OnnxError::ProviderUnavailable { tried: fallbacks })
    }

    /// Ends the stage of an engine that is not used: what is done instead has stages of other names.
    fn end_engine(&self, provider: Provider) {
        if provider == Provider::TensorRt {
            let stage = self.stage("engine");
            stage.message(format!("no engine of {} is used", self.source.name()));
            stage.set(self.options.workers.get() as u64);
        }
    }

    /// The stage of one step, which is over when all sessions have taken it.
    fn stage(&self, step: &str) -> Reporter {
        let prefix = self.options.stage.as_deref();
        let path = format!("{}/{step}", prefix.unwrap_or_else(|| self.source.name()));
        let stage = self.reporter.stage(&path);
        stage.total(self.options.workers.get() as u64)
    }

    /// Opens another session on the provider that the first one has.
    pub(super) fn another(&self, provider: Provider, number: u64) -> Result<Session, OnnxError> {
        let (session, _) = self.open(provider, false, number)?;
        Ok(session)
    }

    /// Opens the session that makes them `number`, and says who ran what of it, if that is recorded.
    fn open(
        &self,
        provider: Provider,
        record: bool,
        number: u64,
    ) -> Result<(Session, Option<Shares>), OnnxError> {
        let name = self.source.name();
        let (load, said) = match provider {
            Provider::TensorRt => ("engine", format!("building the engine of {name}")),
            _ => ("load", format!("loading {name} for {provider}")),
        };
        let loading = self.stage(load);
        loading.message(said);
        let interrupt = &self.interrupt;
        let opened = Session::open(&self.source, provider, &self.options, record, interrupt);
        let mut session = opened?;
        // Set, not added to: of two providers that are tried one may get so far, and the other too.
        loading.set(number);
        // What is refused here is what was given, not what the provider makes of it.
        let Some(inputs) = session.warm_up_inputs(&self.options.warm_up)? else {
            let shares = session.measured();
            return Ok((session, shares));
        };
        let warming = self.stage("warm-up");
        warming.message(format!("running {name} for the first time"));
        let warm_up = |session: &mut Session, inputs| {
            let run = session.warm_up(inputs, interrupt);
            run.map_err(|error| match error {
                OnnxError::RunFailed {
                    reason,
                    device: false,
                } => OnnxError::WarmUp {
                    model: name.to_owned(),
                    reason,
                },
                error => error,
            })
        };
        warm_up(&mut session, inputs.clone())?;
        let shares = session.measured();
        // The first run shows the runtime how much memory the model needs, and the second takes it all
        // at once: for u2netp 200 MB, which the first request would wait for as long as for the model.
        warm_up(&mut session, inputs)?;
        warming.set(number);
        Ok((session, shares))
    }
}

/// Whether a measured run showed that nothing ran on the provider.
fn is_idle(placement: &Placement, provider: Provider) -> bool {
    placement
        .share(provider)
        .is_some_and(|share| share.operations == 0)
}

/// Whether another provider may do what this one could not. The runtime's words for a model that is
/// damaged and for a device that fails are not always apart; a damaged one fails on the next
/// provider too.
fn may_be_of_provider(error: &OnnxError) -> bool {
    matches!(
        error,
        OnnxError::ModelInvalid { .. }
            | OnnxError::ModelUnsupported { .. }
            | OnnxError::OutOfMemory { .. }
            | OnnxError::RunFailed { .. }
            | OnnxError::WarmUp { .. }
    )
}

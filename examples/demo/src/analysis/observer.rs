use super::Step;

/// Follows an analysis and may stop it.
///
/// Every method does nothing unless implemented, and `()` is the observer that nobody listens to. The
/// calls come from the thread that analyses, in order: `started`, any number of `progress`, `finished`.
/// A step that fails has no `finished`; the error says which it was.
pub trait Observer {
    /// Hears that a step begins.
    fn started(&mut self, step: Step) {
        let _ = step;
    }

    /// Hears how far a step has come, in bytes.
    ///
    /// Comes in [`Step::Hash`] and [`Step::Decode`] only. `done` never falls and never exceeds `total`,
    /// and `total` stays the same within a step. A decoder that stops before the end of the file
    /// leaves `done` short of `total`.
    fn progress(&mut self, step: Step, done: u64, total: u64) {
        let _ = (step, done, total);
    }

    /// Hears that a step has succeeded.
    fn finished(&mut self, step: Step) {
        let _ = step;
    }

    /// Says whether to stop; asked often, so it should be as cheap as reading a flag.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Observer for () {}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn started(&mut self, step: Step) {
        (**self).started(step);
    }

    fn progress(&mut self, step: Step, done: u64, total: u64) {
        (**self).progress(step, done, total);
    }

    fn finished(&mut self, step: Step) {
        (**self).finished(step);
    }

    fn is_cancelled(&self) -> bool {
        (**self).is_cancelled()
    }
}

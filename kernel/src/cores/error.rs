//! How cores fail.

use std::fmt;
use std::io;

/// How one core failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError<E> {
    /// Its main function returned this error.
    #[error("core {core} failed")]
    Failed {
        /// The number of the core.
        core: usize,
        /// The error.
        #[source]
        error: E,
    },
    /// The cores were [stopped](crate::Core::stop), and its main function, which had not ended when
    /// the time to drain was over, ended in this error because of that.
    #[error("core {core} was stopped before its main function had ended")]
    Stopped {
        /// The number of the core.
        core: usize,
        /// The error, which passes the cancellation on.
        #[source]
        error: E,
    },
    /// Its main function did not end within the [grace](crate::Cores::grace), and was aborted.
    #[error("core {core} was aborted, because its grace was over")]
    Aborted {
        /// The number of the core.
        core: usize,
    },
    /// It has no thread, no kernel or not its place: the system refused.
    #[error("core {core} could not start")]
    NotStarted {
        /// The number of the core.
        core: usize,
        /// The error of the system.
        #[source]
        error: io::Error,
    },
}

impl<E> CoreError<E> {
    /// The number of the core.
    pub fn core(&self) -> usize {
        match self {
            CoreError::Failed { core, .. }
            | CoreError::Stopped { core, .. }
            | CoreError::Aborted { core }
            | CoreError::NotStarted { core, .. } => *core,
        }
    }
}

/// The cores that failed. A core that ended only because another one had failed is not among them.
#[derive(Debug)]
pub struct CoreErrors<E> {
    /// The core that failed first, which cancelled the others.
    pub first: CoreError<E>,
    /// The others that failed, by themselves or while they cleaned up, in the order of their
    /// numbers.
    pub others: Vec<CoreError<E>>,
}

impl<E> CoreErrors<E> {
    /// All of them, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &CoreError<E>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<E: fmt::Display> fmt::Display for CoreErrors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, failed) in self.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "; " };
            write!(f, "{separator}{failed}")?;
            match failed {
                CoreError::Failed { error, .. } | CoreError::Stopped { error, .. } => {
                    write!(f, ": {error}")?;
                }
                CoreError::NotStarted { error, .. } => write!(f, ": {error}")?,
                CoreError::Aborted { .. } => {}
            }
        }
        Ok(())
    }
}

/// The messages of all errors are in its own, so it has no source.
impl<E: fmt::Debug + fmt::Display> std::error::Error for CoreErrors<E> {}

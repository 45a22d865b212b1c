//! Errors that say what failed, and on which file.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use ::io::shortage;

/// The error inside the `io::Error` of a call on files: the operation, the path, and the system's
/// own error.
///
/// Every `io::Error` of [`fs`](crate::fs) has the kind of the system's error. Unless it is a
/// cancellation, it holds a `PathError`, which has the number of the system's error too:
///
/// ```
/// use std::io;
/// use curium::fs::{self, PathError};
///
/// curium::run(async || {
///     let error = fs::read("/no/such/file").await.unwrap_err();
///     assert_eq!(error.kind(), io::ErrorKind::NotFound);
///     assert!(error.to_string().starts_with("cannot read /no/such/file: No such file"));
///
///     let inner = PathError::of(&error).unwrap();
///     assert_eq!(inner.source.raw_os_error(), Some(2)); // ENOENT
/// });
/// ```
#[non_exhaustive]
pub struct PathError {
    /// What failed, in words, such as `"read"` or `"create the directory"`.
    pub operation: &'static str,
    /// The file. Empty for a [`File`](crate::fs::File) that was made of one of `std`.
    pub path: PathBuf,
    /// The second path of an operation that has two, such as `rename`.
    pub to: Option<PathBuf>,
    /// The system's error.
    pub source: io::Error,
}

impl PathError {
    /// The `PathError` inside an error of a call on files. `None` for a cancellation, and for an
    /// error of other calls.
    pub fn of(error: &io::Error) -> Option<&PathError> {
        error.get_ref()?.downcast_ref()
    }

    pub(super) fn make(
        operation: &'static str,
        path: impl AsRef<Path>,
        source: io::Error,
    ) -> io::Error {
        let path = path.as_ref().to_owned();
        PathError { operation, path, to: None, source }.into()
    }

    pub(super) fn between(
        operation: &'static str,
        [from, to]: [&Path; 2],
        source: io::Error,
    ) -> io::Error {
        PathError { operation, path: from.to_owned(), to: Some(to.to_owned()), source }.into()
    }

    /// What to do about an error that does not say it, as the end of a text.
    fn advice(&self) -> String {
        match Errno::from_io_error(&self.source) {
            Some(Errno::BADF) => String::from("; open it for that, see `OpenOptions`"),
            _ => shortage::advice(&self.source, "files"),
        }
    }
}

impl From<PathError> for io::Error {
    fn from(error: PathError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} ", self.operation)?;
        match self.path.as_os_str().is_empty() {
            true => f.write_str("a file")?,
            false => write!(f, "{}", self.path.display())?,
        }
        if let Some(to) = &self.to {
            write!(f, " to {}", to.display())?;
        }
        write!(f, ": {}{}", self.source, self.advice())
    }
}

/// The text in quotes, because the `Debug` of an error is what a `main` that returns it prints.
impl fmt::Debug for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Error for PathError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

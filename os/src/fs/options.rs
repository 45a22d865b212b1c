//! How a file is opened.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::fs::blocking::at_path;
use crate::fs::file::File;

/// How a file is opened: the options of `std::fs::OpenOptions`.
///
/// ```
/// use std::io;
/// use curium::fs::OpenOptions;
///
/// # let path = std::env::temp_dir().join(format!("curium-doc-options-{}", std::process::id()));
/// curium::run(async || -> io::Result<()> {
///     let mut log = OpenOptions::new().append(true).create(true).open(&path).await?;
///     log.write_all(b"one more line\n").await?;
///     Ok(())
/// })?;
/// # std::fs::remove_file(path)?;
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions(std::fs::OpenOptions);

impl OpenOptions {
    /// No option is set.
    #[allow(clippy::new_without_default, reason = "an `open` without options is an error")]
    pub fn new() -> Self {
        OpenOptions(std::fs::OpenOptions::new())
    }

    /// Whether the file can be read.
    pub fn read(&mut self, on: bool) -> &mut Self {
        self.0.read(on);
        self
    }

    /// Whether the file can be written. What is not overwritten stays.
    pub fn write(&mut self, on: bool) -> &mut Self {
        self.0.write(on);
        self
    }

    /// Whether every write goes to the end of the file, wherever the position is.
    pub fn append(&mut self, on: bool) -> &mut Self {
        self.0.append(on);
        self
    }

    /// Whether the file is emptied. Needs [`write`](OpenOptions::write).
    pub fn truncate(&mut self, on: bool) -> &mut Self {
        self.0.truncate(on);
        self
    }

    /// Whether the file is made if it does not exist.
    pub fn create(&mut self, on: bool) -> &mut Self {
        self.0.create(on);
        self
    }

    /// Whether the file is made, and must not exist before.
    pub fn create_new(&mut self, on: bool) -> &mut Self {
        self.0.create_new(on);
        self
    }

    /// The permissions of a file that is made, as of `chmod`; `0o666` unless it is set. The umask
    /// of the process is taken off.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }

    /// Further flags of `open(2)`, such as `O_NOFOLLOW`.
    ///
    /// With `O_NONBLOCK`, reads and writes that would block are errors of the kind `WouldBlock`.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.0.custom_flags(flags);
        self
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// The system's, with the path (a [`PathError`](crate::fs::PathError) is inside), or a
    /// cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. If the file is opened all the same, it is closed. It may have been
    /// made or emptied, also later.
    #[track_caller]
    pub fn open<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = io::Result<File>> + use<P> {
        let (options, named) = (self.0.clone(), path.as_ref().to_owned());
        at_path("open", path.as_ref(), move |path| Ok(File::adopt(options.open(path)?, named)))
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> Self {
        OpenOptions(options)
    }
}

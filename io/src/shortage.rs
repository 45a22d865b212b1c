//! What to do when the system has no more descriptors, for the texts of errors.

use std::io;

/// What to do about a lack that the text of the system only names, as the end of a text: which of
/// `these`, as `"files"`, to close, or which limit to raise. Empty for any other error.
#[cfg(unix)]
pub fn advice(error: &io::Error, these: &str) -> String {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            format!("; close {these}, or raise the limit of descriptors (`ulimit -n`)")
        }
        Some(Errno::NFILE) => String::from(
            "; the processes of this system have all its descriptors: close files there, or raise \
             the limit (`sysctl fs.file-max` on Linux)",
        ),
        _ => String::new(),
    }
}

#[cfg(not(unix))]
/// Empty: the errors of other systems are not known here.
pub fn advice(_error: &io::Error, _these: &str) -> String {
    String::new()
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    /// N4: a lack of descriptors is that of the process or that of the system.
    #[test]
    fn the_advice_is_about_the_limit_that_was_met() {
        let of = |errno: Errno| advice(&errno.into(), "files");
        assert!(of(Errno::MFILE).contains("ulimit -n"));
        assert!(of(Errno::NFILE).contains("fs.file-max"));
        assert_eq!(of(Errno::CONNREFUSED), "");
    }
}

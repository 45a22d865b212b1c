//! What to do when the system has no more descriptors or processes, for the texts of errors.

use std::io;

use rustix::io::Errno;

/// What to do about a lack that the text of the system only names.
pub(crate) fn advice(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some("close files, or raise the limit of descriptors (`ulimit -n`)"),
        Errno::NFILE => Some(
            "the processes of this system have all its descriptors: close files there, or raise \
             the limit (`sysctl fs.file-max` on Linux)",
        ),
        _ => None,
    }
}

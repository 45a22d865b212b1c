//! Writes a record as JSON, in the form of Chrome's older trace viewer: an array of events, one a
//! line. Times are in microseconds, with three digits after the point.

use std::fmt;
use std::io;

use crate::recorder::timeline::{Entry, KERNEL, Mark, Timeline};

/// A text as JSON.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

pub(super) fn write(timelines: &[Timeline], mut to: impl io::Write) -> io::Result<()> {
    let names = timelines.iter().flat_map(|timeline| {
        let kernel = (KERNEL + timeline.shift, &*timeline.kernel);
        let tracks = timeline.tracks.iter().map(|track| (track.number, &*track.name));
        std::iter::once(kernel).chain(tracks)
    });
    let mut before = "[";
    for (number, name) in names {
        let name = Text(name);
        writeln!(to, "{before}")?;
        write!(
            to,
            r#"{{"ph":"M","pid":1,"tid":{number},"name":"thread_name","args":{{"name":{name}}}}}"#
        )?;
        before = ",";
    }
    for entry in timelines.iter().flat_map(|timeline| &timeline.entries) {
        writeln!(to, "{before}")?;
        write_entry(entry, &mut to)?;
    }
    writeln!(to, "\n]")?;
    to.flush()
}

fn write_entry(entry: &Entry, to: &mut impl io::Write) -> io::Result<()> {
    let Entry { time, track, mark } = entry;
    let (micros, nanos) = (time / 1000, time % 1000);
    let at = format_args!(r#""pid":1,"tid":{track},"ts":{micros}.{nanos:03}"#).to_string();
    match mark {
        Mark::Begin { name, site, woken } => {
            write!(to, r#"{{"ph":"B",{at},"name":{}"#, Text(name))?;
            if let Some(site) = site {
                let line = format!("{}:{}", site.file(), site.line());
                write!(to, r#","args":{{"at":{}}}"#, Text(&line))?;
            }
            write!(to, "}}")?;
            match woken {
                Some(arrow) => {
                    let flow = r#""name":"wake","cat":"wake","bp":"e""#;
                    write!(to, ",\n{{\"ph\":\"f\",{at},{flow},\"id\":{arrow}}}")
                }
                None => Ok(()),
            }
        }
        Mark::End => write!(to, r#"{{"ph":"E",{at}}}"#),
        Mark::Instant { name, wakes } => {
            write!(to, r#"{{"ph":"i",{at},"s":"t","name":{}}}"#, Text(name))?;
            match wakes {
                Some(arrow) => {
                    let flow = r#""name":"wake","cat":"wake""#;
                    write!(to, ",\n{{\"ph\":\"s\",{at},{flow},\"id\":{arrow}}}")
                }
                None => Ok(()),
            }
        }
        Mark::Counter(value) => {
            write!(to, r#"{{"ph":"C",{at},"name":"ready tasks","args":{{"ready":{value}}}}}"#)
        }
    }
}

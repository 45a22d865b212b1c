//! The results of the rounds: medians, ratios within a round, the table, JSON.

use std::fmt::Write as _;

use crate::case::Figure;
use crate::runtimes;

/// A row: the figures of each runtime, round by round.
#[derive(Clone, Debug)]
pub struct Row {
    /// The workload, or a part of it.
    pub name: String,
    /// `ns`, `µs` or `bytes`.
    pub unit: String,
    /// By runtime, in the order of [`runtimes::ALL`]. Empty if a runtime has no such workload.
    pub rounds: Vec<Vec<f64>>,
}

/// All rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In order of arrival.
    pub rows: Vec<Row>,
}

/// The median of some numbers. `None` if there are none.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 0 {
        return Some((sorted.get(middle.wrapping_sub(1))? + sorted.get(middle)?) / 2.0);
    }
    sorted.get(middle).copied()
}

impl Row {
    /// The median of a runtime, by its index.
    pub fn median(&self, runtime: usize) -> Option<f64> {
        median(self.rounds.get(runtime)?)
    }

    /// The median of a runtime's ratios to Curium, each within its round.
    pub fn ratio(&self, runtime: usize) -> Option<f64> {
        let pairs = self.rounds.get(runtime)?.iter().zip(self.rounds.first()?);
        median(&pairs.map(|(peer, ours)| peer / ours).collect::<Vec<_>>())
    }
}

impl Table {
    /// Adds the figures of one sample of one runtime.
    pub fn add(&mut self, runtime: &str, figures: Vec<Figure>) {
        let Some(at) = runtimes::ALL.iter().position(|(name, _)| *name == runtime) else { return };
        for figure in figures {
            self.row(figure.name, figure.unit).rounds[at].push(figure.value);
        }
    }

    fn row(&mut self, name: String, unit: String) -> &mut Row {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name, unit, rounds: vec![Vec::new(); runtimes::ALL.len()] });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// The table: Curium's medians, and the ratios of the peers.
    pub fn text(&self) -> String {
        let mut text = format!("{:<28}{:>12}", "", runtimes::ALL[0].0);
        for (runtime, _) in &runtimes::ALL[1..] {
            write!(text, "{runtime:>15}").expect("a string takes all");
        }
        for row in self.rows.iter().filter(|row| !row.name.starts_with("grow_")) {
            let ours = row.median(0).map_or("-".into(), |ours| format!("{ours:.1} {}", row.unit));
            write!(text, "\n{:<28}{ours:>12}", row.name).expect("a string takes all");
            for at in 1..runtimes::ALL.len() {
                let ratio = row.ratio(at).map_or("-".into(), |ratio| format!("× {ratio:.2}"));
                write!(text, "{ratio:>15}").expect("a string takes all");
            }
        }
        text
    }

    /// The rows that show growth: nanoseconds at each size, and the ratio of the last to the first.
    pub fn growth(&self) -> String {
        let mut text = String::new();
        for (name, rows) in self.growing() {
            if text.is_empty() {
                write!(text, "{:<28}", "ns, by number of tasks").expect("a string takes all");
                for (size, _) in &rows {
                    write!(text, "{size:>12}").expect("a string takes all");
                }
            }
            for (at, (runtime, _)) in runtimes::ALL.iter().enumerate() {
                let times: Vec<f64> = rows.iter().filter_map(|(_, row)| row.median(at)).collect();
                let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
                let name = format!("{name} {runtime}");
                write!(text, "\n{name:<28}").expect("a string takes all");
                for time in &times {
                    write!(text, "{time:>12.1}").expect("a string takes all");
                }
                write!(text, "   × {:.2}", last / first).expect("a string takes all");
            }
        }
        text
    }

    /// The rows that show growth, by their name without the size, with the sizes.
    pub fn growing(&self) -> Vec<(&str, Vec<(u64, &Row)>)> {
        let mut groups: Vec<(&str, Vec<(u64, &Row)>)> = Vec::new();
        for row in &self.rows {
            let Some((name, size)) = row.name.rsplit_once('_') else { continue };
            let (true, Ok(size)) = (name.starts_with("grow_"), size.parse()) else { continue };
            match groups.last_mut() {
                Some((last, rows)) if *last == name => rows.push((size, row)),
                _ => groups.push((name, vec![(size, row)])),
            }
        }
        groups
    }

    /// Everything, round by round, for a program to read.
    pub fn json(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(row_as_json).collect();
        format!("{{\"rows\":[\n{}\n]}}", rows.join(",\n"))
    }
}

/// The names and units here need no escapes.
fn row_as_json(row: &Row) -> String {
    let mut runtimes_ = Vec::new();
    for (at, (runtime, _)) in runtimes::ALL.iter().enumerate() {
        let Some(median) = row.median(at) else { continue };
        let rounds: Vec<String> = row.rounds[at].iter().map(ToString::to_string).collect();
        runtimes_.push(format!(
            "\"{runtime}\":{{\"median\":{median},\"rounds\":[{}]}}",
            rounds.join(",")
        ));
    }
    let (name, unit) = (&row.name, &row.unit);
    format!("{{\"name\":\"{name}\",\"unit\":\"{unit}\",\"runtimes\":{{{}}}}}", runtimes_.join(","))
}

//! Pictures of a table: bars for the README, and how the cost per operation grows with the number.

use std::fmt::Write as _;

use crate::runtimes;
use crate::table::{Row, Table};

/// One colour per runtime, in the order of [`runtimes::ALL`].
const COLOURS: [&str; 7] =
    ["#c0392b", "#2471a3", "#5dade2", "#239b56", "#b9770e", "#d5d8dc", FLOOR];

const LABELS: f64 = 170.0;
const BARS: f64 = 480.0;
const WIDTH: f64 = 720.0;
const BAR: f64 = 11.0;
/// The width and height of a panel of lines, and the margins around it.
const PANEL: (f64, f64) = (150.0, 120.0);
const GAP: f64 = 25.0;
/// The line of the floor, which is compared with Curium's.
const FLOOR: &str = "#aeb6bf";

fn head(text: &mut String, width: f64, height: f64) {
    put(
        text,
        &format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        ),
    );
}

fn put(text: &mut String, piece: &str) {
    text.write_str(piece).expect("a string takes all");
}

fn words(text: &mut String, (x, y): (f64, f64), colour: &str, words: &str) {
    put(text, &format!("<text x=\"{x:.0}\" y=\"{y:.0}\" fill=\"{colour}\">{words}</text>\n"));
}

fn legend<'a>(text: &mut String, shown: impl Iterator<Item = (&'a str, &'a str)>) {
    for (place, (name, colour)) in shown.enumerate() {
        let x = 10.0 + 100.0 * place as f64;
        let square =
            format!("<rect x=\"{x:.0}\" y=\"10\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n");
        put(text, &square);
        words(text, (x + 14.0, 19.0), "black", name);
    }
}

/// Bars: for each row in nanoseconds the time of each runtime. The slowest has the longest bar.
pub fn bars(table: &Table) -> String {
    let drawn = |row: &&Row| row.unit == "ns" && !row.name.starts_with("grow_");
    let rows: Vec<&Row> = table.rows.iter().filter(drawn).collect();
    let per_row = |row: &Row| row.rounds.iter().filter(|rounds| !rounds.is_empty()).count();
    let bars: usize = rows.iter().map(|row| per_row(row)).sum();
    let mut text = String::new();
    head(&mut text, WIDTH, 40.0 + bars as f64 * BAR + rows.len() as f64 * 10.0);
    legend(&mut text, runtimes::ALL.iter().map(|(name, _)| *name).zip(COLOURS));
    let mut y = 34.0;
    for row in rows {
        let times: Vec<_> = (0..runtimes::ALL.len()).map(|at| row.median(at)).collect();
        let slowest = times.iter().flatten().copied().fold(0.0, f64::max);
        words(&mut text, (10.0, y + BAR), "black", &row.name);
        for (at, time) in times.into_iter().enumerate() {
            let Some(time) = time else { continue };
            let (width, height) = (time / slowest * BARS, BAR - 1.0);
            let bar = format!(
                "<rect x=\"{LABELS}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{height}\" \
                 fill=\"{}\"/>\n",
                COLOURS[at]
            );
            put(&mut text, &bar);
            words(&mut text, (LABELS + width + 4.0, y + BAR - 2.0), "#555", &format!("{time:.0}"));
            y += BAR;
        }
        y += 10.0;
    }
    text + "</svg>\n"
}

/// The cost of one, over how many there are. Flat is good.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What grows.
    pub title: String,
    /// Of the costs.
    pub unit: &'static str,
    /// How many there are, step by step.
    pub sizes: Vec<u64>,
    /// The cost of one at each step, for each runtime that is compared.
    pub costs: Vec<Vec<f64>>,
}

/// The rows of a table that show growth, as [`lines`]: Curium's and the floor's.
pub fn growth(table: &Table) -> String {
    let shown = [0, runtimes::ALL.len() - 1];
    let panel = |(name, rows): (&str, Vec<(u64, &Row)>)| Panel {
        title: name.trim_start_matches("grow_").to_owned(),
        unit: "ns",
        sizes: rows.iter().map(|(size, _)| *size).collect(),
        costs: shown.map(|at| rows.iter().filter_map(|(_, row)| row.median(at)).collect()).into(),
    };
    let panels: Vec<Panel> = table.growing().into_iter().map(panel).collect();
    lines(&shown.map(|at| runtimes::ALL[at].0), &panels)
}

/// Lines, one panel for each row that grows. The names are those of the costs in all panels.
pub fn lines(names: &[&str], panels: &[Panel]) -> String {
    let mut text = String::new();
    let width = 20.0 + panels.len() as f64 * (PANEL.0 + GAP);
    head(&mut text, width.max(10.0 + 100.0 * names.len() as f64), 90.0 + PANEL.1);
    let of_line = |line: usize| if line == 1 { FLOOR } else { COLOURS[line % COLOURS.len()] };
    legend(&mut text, names.iter().enumerate().map(|(line, name)| (*name, of_line(line))));
    for (place, panel) in panels.iter().enumerate() {
        let (left, bottom) = (20.0 + place as f64 * (PANEL.0 + GAP), 50.0 + PANEL.1);
        let most = panel.costs.iter().flatten().copied().fold(0.0, f64::max);
        let title = format!("{}, up to {most:.0} {}", panel.title, panel.unit);
        words(&mut text, (left, 44.0), "black", &title);
        let axis = format!(
            "<path d=\"M{left:.0} 50V{bottom:.0}h{}\" stroke=\"#999\" fill=\"none\"/>\n",
            PANEL.0
        );
        put(&mut text, &axis);
        let steps = panel.sizes.len().max(2) - 1;
        let x = |step: usize| left + PANEL.0 * step as f64 / steps as f64;
        for (step, size) in panel.sizes.iter().enumerate() {
            words(&mut text, (x(step) - 8.0, bottom + 14.0), "#555", &short(*size));
        }
        for (line, costs) in panel.costs.iter().enumerate() {
            let point = |(step, cost): (usize, &f64)| {
                format!("{:.1},{:.1}", x(step), bottom - cost / most * PANEL.1)
            };
            let points: Vec<String> = costs.iter().enumerate().map(point).collect();
            let line = format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                points.join(" "),
                of_line(line)
            );
            put(&mut text, &line);
        }
    }
    text + "</svg>\n"
}

/// A number, as short as possible.
fn short(size: u64) -> String {
    match size {
        1_000_000.. => format!("{}M", size / 1_000_000),
        1_000.. => format!("{}k", size / 1_000),
        _ => size.to_string(),
    }
}

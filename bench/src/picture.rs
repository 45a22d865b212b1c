//! Pictures of a table: bars for the README, and how the cost of one grows with their number.

use std::fmt::Write as _;

use crate::runtimes;
use crate::table::{Row, Table};

/// One colour a runtime, in the order of [`runtimes::ALL`].
const COLOURS: [&str; 7] =
    ["#c0392b", "#2471a3", "#5dade2", "#239b56", "#b9770e", "#d5d8dc", "#aeb6bf"];

const LABELS: f64 = 170.0;
const BARS: f64 = 480.0;
const WIDTH: f64 = 720.0;
const BAR: f64 = 11.0;

fn head(text: &mut String, height: f64) {
    put(
        text,
        &format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
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

fn legend(text: &mut String, shown: &[usize]) {
    for (place, at) in shown.iter().enumerate() {
        let x = 10.0 + 100.0 * place as f64;
        let square = format!(
            "<rect x=\"{x:.0}\" y=\"10\" width=\"10\" height=\"10\" fill=\"{}\"/>\n",
            COLOURS[*at]
        );
        put(text, &square);
        words(text, (x + 14.0, 19.0), "black", runtimes::ALL[*at].0);
    }
}

/// Bars: for each row in nanoseconds what each runtime takes, the slowest being the longest.
pub fn bars(table: &Table) -> String {
    let drawn = |row: &&Row| row.unit == "ns" && !row.name.starts_with("grow_");
    let rows: Vec<&Row> = table.rows.iter().filter(drawn).collect();
    let per_row = |row: &Row| row.rounds.iter().filter(|rounds| !rounds.is_empty()).count();
    let bars: usize = rows.iter().map(|row| per_row(row)).sum();
    let mut text = String::new();
    head(&mut text, 40.0 + bars as f64 * BAR + rows.len() as f64 * 10.0);
    legend(&mut text, &(0..runtimes::ALL.len()).collect::<Vec<_>>());
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

/// Lines: nanoseconds for one, over how many there are; flat is good.
pub fn growth(table: &Table) -> String {
    let groups = table.growing();
    let mut text = String::new();
    let (wide, high) = (150.0, 120.0);
    head(&mut text, 90.0 + high);
    legend(&mut text, &[0, runtimes::ALL.len() - 1]);
    for (place, (name, rows)) in groups.iter().enumerate() {
        let (left, bottom) = (20.0 + place as f64 * (wide + 25.0), 50.0 + high);
        let medians = |at: usize| rows.iter().filter_map(move |(_, row)| row.median(at));
        let most = (0..runtimes::ALL.len()).flat_map(medians).fold(0.0, f64::max);
        let title = format!("{}, up to {most:.0} ns", name.trim_start_matches("grow_"));
        words(&mut text, (left, 44.0), "black", &title);
        let axis = format!(
            "<path d=\"M{left:.0} 50V{bottom:.0}h{wide}\" stroke=\"#999\" fill=\"none\"/>\n"
        );
        put(&mut text, &axis);
        let x = |step: usize| left + wide * step as f64 / (rows.len().max(2) - 1) as f64;
        for (step, (size, _)) in rows.iter().enumerate() {
            words(&mut text, (x(step) - 8.0, bottom + 14.0), "#555", &short(*size));
        }
        for (at, colour) in COLOURS.iter().enumerate() {
            let points: Vec<String> = medians(at)
                .enumerate()
                .map(|(step, time)| format!("{:.1},{:.1}", x(step), bottom - time / most * high))
                .collect();
            let line = format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
                points.join(" ")
            );
            put(&mut text, &line);
        }
    }
    text + "</svg>\n"
}

/// A number of tasks, as briefly as it goes.
fn short(size: u64) -> String {
    match size {
        1_000_000.. => format!("{}M", size / 1_000_000),
        1_000.. => format!("{}k", size / 1_000),
        _ => size.to_string(),
    }
}

//! Figures: stored by round, shown as medians and as ratios within a round.

use crate::serve::Runtime;

/// Every value of every metric, by round.
#[derive(Debug)]
pub(crate) struct Figures {
    runtimes: Vec<Runtime>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    metric: String,
    /// As many lists as there are runtimes, in their order.
    values: Vec<Vec<f64>>,
}

impl Figures {
    pub(crate) fn new(runtimes: &[Runtime]) -> Self {
        Figures { runtimes: runtimes.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, metric: &str, runtime: Runtime, value: f64) {
        let index = self.runtimes.iter().position(|&known| known == runtime);
        let index = index.expect("only selected metrics are measured");
        if let Some(row) = self.rows.iter_mut().find(|row| row.metric == metric) {
            row.values[index].push(value);
            return;
        }
        let mut values = vec![Vec::new(); self.runtimes.len()];
        values[index].push(value);
        self.rows.push(Row { metric: metric.to_owned(), values });
    }

    /// The median of a metric on a runtime.
    pub(crate) fn median(&self, metric: &str, runtime: Runtime) -> Option<f64> {
        let index = self.runtimes.iter().position(|&known| known == runtime)?;
        median(&self.rows.iter().find(|row| row.metric == metric)?.values[index])
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// The median of the ratios of each round.
fn ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    median(&ratios)
}

/// Medians, and below them the ratios of Curium's figure to each of the others.
pub(crate) fn table(figures: &Figures) {
    let heads: String =
        figures.runtimes.iter().map(|runtime| format!(" | {runtime:>11}")).collect();
    let line = "---|".repeat(figures.runtimes.len());
    println!("| {:<58}{heads} |\n|---|{line}", "median");
    for row in &figures.rows {
        let cells = row.values.iter().map(|values| cell(median(values), 2));
        println!("| {:<58}{} |", row.metric, cells.collect::<String>());
    }
    let Some(ours) = figures.runtimes.iter().position(|&runtime| runtime == Runtime::Curium) else {
        return;
    };
    println!("\n| {:<58}{heads} |\n|---|{line}", "curium is of it, median of the rounds");
    for row in &figures.rows {
        let cells = row.values.iter().map(|values| cell(ratio(&row.values[ours], values), 3));
        println!("| {:<58}{} |", row.metric, cells.collect::<String>());
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) => format!(" | {value:>11.digits$}"),
        None => format!(" | {:>11}", "-"),
    }
}

/// A list with an object for each metric and runtime, all rounds in it.
pub(crate) fn json(figures: &Figures) {
    let mut objects = Vec::new();
    for row in &figures.rows {
        for (runtime, values) in figures.runtimes.iter().zip(&row.values) {
            let Some(median) = median(values) else {
                continue;
            };
            // Names and numbers only, so nothing needs escaping.
            let metric = &row.metric;
            objects.push(format!(
                "  {{\"metric\": \"{metric}\", \"runtime\": \"{runtime}\", \"median\": {median}, \
                 \"rounds\": {values:?}}}"
            ));
        }
    }
    println!("[\n{}\n]", objects.join(",\n"));
}

//! What differs from run to run, taken out of a text of the monitor.

use std::ops::Range;

const UNITS: [&str; 5] = ["µs", "ms", "s", "min", "h"];

/// The text with `T` for each time, and `N` for the turn.
pub(crate) fn without_times(text: &str) -> String {
    let mut lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let columns: Vec<Range<usize>> = lines.iter().filter_map(|line| column(line)).collect();
    // The times end at the same place, and the column is as wide as the longest of them.
    let start = columns.iter().map(|time| time.start).min().unwrap_or(0);
    let end = columns.first().map_or(0, |time| time.end);
    let mut shown = String::new();
    for line in &mut lines {
        let column = column(line);
        let is_blank = line.get(start..end).is_some_and(|time| time.iter().all(|c| *c == ' '));
        for time in times(line).into_iter().rev() {
            let is_column = column.as_ref() == Some(&time);
            line.splice(if is_column { start..end } else { time }, ['T']);
        }
        if column.is_none() && is_blank && start < end {
            line.splice(start..end, [' ']);
        }
        shown += &without_turn(line.iter().collect());
        shown.push('\n');
    }
    shown
}

/// The time in the column of times: the one before which there is more than one space.
fn column(line: &[char]) -> Option<Range<usize>> {
    times(line).into_iter().find(|time| line[..time.start].ends_with(&[' ', ' ']))
}

/// Where a number and a unit stand.
fn times(line: &[char]) -> Vec<Range<usize>> {
    let text: String = line.iter().collect();
    let mut times = Vec::new();
    let mut at = 0;
    let words: Vec<&str> = text.split(' ').collect();
    for pair in words.windows(2) {
        let unit: String = pair[1].chars().take_while(|c| c.is_alphabetic()).collect();
        let (number, end) = (pair[0].chars().count(), unit.chars().count());
        if pair[0].parse::<f64>().is_ok() && UNITS.contains(&&*unit) {
            times.push(at..at + number + 1 + end);
        }
        at += number + 1;
    }
    times
}

fn without_turn(line: String) -> String {
    match line.split_once(" · turn ") {
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_numeric());
            format!("{before} · turn N{after}")
        }
        None => line,
    }
}

//! How the screen looks.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, Wrap};

use crate::document::{Document, Task};
use crate::text::{count, time};
use crate::top::rows::{Node, Sort};
use crate::top::view::View;

/// Shown in 80 columns.
const KEYS: &str = "q quit  ↑↓ select  ⏎ details  c cancel │ \
    t tree  a age  p polls  n name  s state";

/// The most verdicts that are shown.
const VERDICTS: usize = 3;

/// A text of verdicts takes no more lines than that.
const VERDICT_LINES: usize = 9;

const RED: Style = Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD);
const STUCK: Style = Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD);
const QUIET: Style = Style::new().add_modifier(Modifier::DIM);

pub(crate) fn draw(frame: &mut Frame<'_>, view: &mut View) {
    let area = frame.area();
    let verdicts = verdicts(view, area.width.into());
    let red = u16::try_from(verdicts.len()).unwrap_or(0).min(area.height.saturating_sub(5));
    let details = if view.details { details(view) } else { Vec::new() };
    let low = match details.len() {
        0 => 0,
        lines => (u16::try_from(lines).unwrap_or(u16::MAX)).min(area.height / 3) + 1,
    };
    let [top, alarm, middle, bottom, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(red),
        Constraint::Min(2),
        Constraint::Length(low),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Line::styled(headline(view), QUIET), top);
    let alarms: Vec<Line<'_>> = verdicts.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(alarms).style(RED), alarm);
    table(frame, view, middle);
    let block = Block::new().borders(Borders::TOP).border_style(QUIET);
    frame.render_widget(Paragraph::new(details).wrap(Wrap { trim: false }).block(block), bottom);
    frame.render_widget(footer(view), foot);
}

fn headline(view: &View) -> String {
    let Some(document) = &view.document else {
        return format!("{} · waiting for the first answer", view.address);
    };
    let Document { tasks, ready, turn, age_ms, .. } = document;
    let tasks = count(tasks.len(), "task");
    let mut text = match (&document.program, document.pid) {
        (Some(program), Some(pid)) => format!("{program} ({pid}) · "),
        _ => String::new(),
    };
    text += &format!("{} · {tasks} · ready {ready} · turn {turn}", view.address);
    if document.shutting_down {
        text += " · shutting down";
    }
    match age_ms {
        Some(age @ 1000..) => text += &format!(" · seen {} ago", time(*age)),
        Some(_) => {}
        None => text += " · the kernel was not seen yet",
    }
    text
}

/// The verdicts, broken into lines of that width.
fn verdicts(view: &View, width: usize) -> Vec<String> {
    let Some(document) = &view.document else { return Vec::new() };
    let mut texts: Vec<String> = document.held.iter().map(|held| held.text()).collect();
    let all = document.verdicts.iter().map(|verdict| verdict.text.clone());
    texts.extend(all.take(VERDICTS));
    if document.verdicts.len() > VERDICTS {
        texts.push(format!("and {} more verdicts", document.verdicts.len() - VERDICTS));
    }
    let mut lines: Vec<String> =
        texts.iter().flat_map(|text| broken(&format!("(!) {text}"), width)).collect();
    if lines.len() > VERDICT_LINES {
        lines.truncate(VERDICT_LINES - 1);
        lines.push("    ... `curium tree` has all of it".into());
    }
    lines
}

/// Breaks a text at its spaces. Lines but the first are indented.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        let length = Span::raw(&*line).width() + 1 + Span::raw(word).width();
        if line.trim().is_empty() {
            line.push_str(word);
        } else if length <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("    {word}"));
        }
    }
    lines
}

fn table(frame: &mut Frame<'_>, view: &mut View, area: Rect) {
    view.scroll(usize::from(area.height.saturating_sub(1)));
    let mark = |sort: Sort, name: &str| match (view.sort == sort, view.reversed) {
        (false, _) => name.to_owned(),
        (true, false) => format!("{name} ▼"),
        (true, true) => format!("{name} ▲"),
    };
    let header = [
        match view.sort {
            Sort::Tree => "TASK (tree)".to_owned(),
            _ => mark(Sort::Name, "TASK"),
        },
        mark(Sort::State, "STATE"),
        mark(Sort::Age, "AGE"),
        mark(Sort::Polls, "POLLS"),
        "WAITS AT, FOR".to_owned(),
    ];
    let Some(document) = &view.document else { return };
    let stuck = view.stuck();
    let shown = view.rows.iter().enumerate().skip(view.first).take(view.height);
    let rows = shown.map(|(at, row)| {
        let (cells, mut style) = match row.node {
            Node::Task(task) => {
                let task = &document.tasks[task];
                let style = match () {
                    () if stuck.contains(&*task.id) => STUCK,
                    () if task.cancel.is_some() => Style::new().fg(Color::Yellow),
                    () => Style::new(),
                };
                (task_cells(task, &row.indent), style)
            }
            Node::Scope(scope) => {
                let scope = &document.scopes[scope];
                let name = format!("{}{}", row.indent, scope.title());
                let site = scope.site.clone().unwrap_or_default();
                ([name, String::new(), String::new(), String::new(), site], QUIET)
            }
        };
        if at == view.selected {
            style = style.add_modifier(Modifier::REVERSED);
        }
        Row::new(cells.map(Cell::from)).style(style)
    });
    let widths = [
        Constraint::Fill(4),
        Constraint::Length(12),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Fill(5),
    ];
    let header = Row::new(header).style(Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(rows, widths).header(header), area);
}

fn task_cells(task: &Task, indent: &str) -> [String; 5] {
    let name = format!("{indent}#{} {}", task.id, task.name);
    let place = task.parked.first().map_or_else(String::new, |leaf| {
        let site = leaf.site.as_deref().unwrap_or("no leaf of Curium's");
        let arrow = if leaf.on.is_empty() { "" } else { " → " };
        format!("{site}{arrow}{}", leaf.on)
    });
    let mut notes = vec![place];
    if let Some(cancel) = &task.cancel {
        let state = if cancel.delivered { "cleaning up" } else { "to be cancelled" };
        notes.push(state.into());
    }
    if task.daemon {
        notes.push("daemon".into());
    }
    notes.retain(|note| !note.is_empty());
    let age = task.age_ms().map(time).unwrap_or_default();
    [name, task.state.clone(), age, task.polls.to_string(), notes.join(" · ")]
}

/// All that is known of the selected row.
fn details(view: &View) -> Vec<Line<'static>> {
    let Some(task) = view.task() else {
        return vec![Line::from("select a task for its details")];
    };
    let title = format!("#{} {} · {} · {} polls", task.id, task.name, task.state, task.polls);
    let mut lines = vec![Line::styled(title, Style::new().add_modifier(Modifier::BOLD))];
    let mut say = |text: String| lines.push(Line::from(format!("  {text}")));
    let at = |site: &Option<String>| {
        site.as_ref().map_or_else(String::new, |site| format!(" at {site}"))
    };
    if task.spawned_at.is_some() {
        let parent = task.parent.as_ref().map(|parent| format!(" by #{parent}"));
        say(format!("spawned{}{}", at(&task.spawned_at), parent.unwrap_or_default()));
    }
    for leaf in &task.parked {
        let age = leaf.since_ms.map_or_else(String::new, |ms| format!(", for {}", time(ms)));
        let arrow = if leaf.on.is_empty() { "" } else { " → " };
        say(format!("{}{}{age}{arrow}{}", leaf.kind, at(&leaf.site), leaf.on));
    }
    for timeout in &task.timeouts {
        let site = at(&timeout.site);
        say(match timeout.in_ms {
            Some(_) if timeout.cancelled => format!("timeout{site}, expired"),
            Some(ms) => format!("timeout{site}, in {}", time(ms)),
            None => format!("scope{site}"),
        });
    }
    if task.shields > 0 {
        say(count(usize::try_from(task.shields).unwrap_or(usize::MAX), "shield"));
    }
    if let Some(cancel) = &task.cancel {
        let state = if cancel.delivered { "cleaning up" } else { "not delivered yet" };
        let ago = cancel.since_ms.map_or_else(String::new, |ms| format!(" {} ago", time(ms)));
        say(format!("cancelled{ago} ({}), {state}", cancel.reason));
    }
    lines
}

fn footer(view: &View) -> Line<'static> {
    if let Some((id, name)) = &view.question {
        let text = format!("cancel task #{id} {name}?  y yes, any other key no");
        return Line::styled(text, Style::new().fg(Color::Black).bg(Color::Yellow));
    }
    match &view.status {
        Some(status) => Line::styled(format!("{status}  (Esc)"), Style::new().fg(Color::Yellow)),
        None => Line::styled(KEYS, QUIET),
    }
}

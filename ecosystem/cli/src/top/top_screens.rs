//! The screens of `top`, drawn to a terminal in memory and compared with files.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use crate::document::{Document, Held};
use crate::top::draw::draw;
use crate::top::keys::Act;
use crate::top::view::View;

const DOCUMENT: &str = include_str!("../../tests/document.json");
const CORES: &str = include_str!("../../tests/document_of_cores.json");

/// A view of the document, as it was changed.
fn view(change: impl FnOnce(&mut Document)) -> View {
    let mut document = Document::parse(DOCUMENT).expect("a document");
    change(&mut document);
    let mut view = View::new("127.0.0.1:48802".into());
    view.update(document);
    view
}

fn press(view: &mut View, keys: &str) -> Act {
    let mut act = Act::None;
    for key in keys.chars() {
        let code = match key {
            '↓' => KeyCode::Down,
            '⏎' => KeyCode::Enter,
            '⇟' => KeyCode::End,
            key => KeyCode::Char(key),
        };
        act = view.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    act
}

fn drawn(view: &mut View, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, view)).expect("in memory");
    terminal.backend().buffer().clone()
}

/// The text of the screen. In front of each line: `!` red, `>` selected, `~` to be cancelled.
fn text(screen: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..screen.area.height {
        let first = &screen[(0, y)];
        let mark = match (first.bg, first.fg) {
            _ if first.modifier.contains(Modifier::REVERSED) => '>',
            (Color::Red, _) | (_, Color::LightRed) => '!',
            (Color::Yellow, _) | (_, Color::Yellow) => '~',
            _ => ' ',
        };
        let cells = (0..screen.area.width).map(|x| screen[(x, y)].symbol());
        let line: String = cells.collect();
        let _ = writeln!(text, "{mark} {}", line.trim_end());
    }
    text
}

/// Compares with the file of that name. With `CURIUM_SCREENS=write` the file is written.
fn assert_screen(name: &str, screen: &Buffer) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/screens/{name}.txt"));
    let text = text(screen);
    if env::var("CURIUM_SCREENS").is_ok_and(|value| value == "write") {
        fs::write(&path, &text).expect("a writable file");
    }
    let expected = fs::read_to_string(&path).expect("a file with the screen");
    assert_eq!(text, expected, "the screen {name} differs:\n{text}");
}

#[test]
fn the_tree_begins_with_the_verdict() {
    assert_screen("tree", &drawn(&mut view(|_| {}), 110, 16));
}

#[test]
fn the_tree_without_a_verdict_has_no_red() {
    let mut view = view(|document| document.verdicts.clear());
    let screen = drawn(&mut view, 110, 12);
    assert_screen("calm", &screen);
    assert!(
        screen.content().iter().all(|cell| cell.bg != Color::Red && cell.fg != Color::LightRed)
    );
}

#[test]
fn tasks_are_sorted_by_what_the_key_says_and_the_other_way_round() {
    for (keys, name) in [("a", "age"), ("p", "polls"), ("n", "name"), ("s", "state")] {
        assert_screen(name, &drawn(&mut press_on(keys), 110, 12));
    }
    assert_screen("polls_reversed", &drawn(&mut press_on("pp"), 110, 12));
    assert_screen("tree", &drawn(&mut press_on("ppt"), 110, 16));
}

fn press_on(keys: &str) -> View {
    let mut view = view(|_| {});
    assert_eq!(press(&mut view, keys), Act::None);
    // The order begins with the first row.
    press(&mut view, "");
    view.select(0);
    view
}

#[test]
fn a_selected_task_shows_its_leaves_timeouts_and_shields() {
    let mut view = view(|_| {});
    press(&mut view, "↓↓↓↓↓↓⏎");
    assert_screen("details", &drawn(&mut view, 110, 30));
}

#[test]
fn the_task_that_holds_the_kernel_is_said_first() {
    let mut view = view(|document| {
        document.age_ms = Some(3100);
        document.held =
            vec![Held { task: "5.1".into(), core: None, name: "resize".into(), for_ms: 3050 }];
    });
    assert_screen("held", &drawn(&mut view, 80, 14));
}

/// P6: tasks of several cores are told apart, below their own parents, and every core that is held
/// is said.
#[test]
fn the_tasks_of_several_cores_are_shown_below_their_own_parents() {
    let mut view = View::new("127.0.0.1:48802".into());
    view.update(Document::parse(CORES).expect("a document"));
    assert_screen("cores", &drawn(&mut view, 100, 14));
}

#[test]
fn the_selection_scrolls_and_stays_with_its_task() {
    let mut view = view(|document| document.verdicts.clear());
    press(&mut view, "⇟");
    assert_screen("scrolled", &drawn(&mut view, 80, 6));
    let selected = view.task().map(|task| task.id.clone());
    let mut next = Document::parse(DOCUMENT).expect("a document");
    next.tasks.remove(2);
    view.update(next);
    assert_eq!(view.task().map(|task| task.id.clone()), selected);
    view.update(Document::default());
    assert_eq!((view.selected, view.task()), (0, None));
    drawn(&mut view, 80, 6);
}

#[test]
fn a_task_is_cancelled_only_after_a_yes() {
    let mut view = view(|_| {});
    assert_eq!(press(&mut view, "↓↓c"), Act::None);
    assert_screen("question", &drawn(&mut view, 80, 14));
    assert_eq!(press(&mut view, "n"), Act::None);
    assert_eq!(view.question, None);
    assert_eq!(press(&mut view, "cy"), Act::Cancel("1".into()));
    view.document.as_mut().expect("a document").refuses_cancel = true;
    assert_eq!(press(&mut view, "cy"), Act::None);
    assert!(view.status.take().is_some_and(|status| status.contains("does not allow")));
    view.document.as_mut().expect("a document").refuses_cancel = false;
    // A group is none.
    view.select(1);
    assert_eq!(press(&mut view, "cy"), Act::None);
    assert!(view.status.is_some());
}

#[test]
fn the_keys_that_leave() {
    let mut view = View::new("nowhere".into());
    assert_eq!(press(&mut view, "↓⏎ct"), Act::None);
    assert_eq!(press(&mut view, "q"), Act::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.press(interrupt), Act::Quit);
}

/// M3: what a program writes into its document is shown, and does nothing.
#[test]
fn no_cell_of_a_screen_has_a_control_character() {
    let mut view = view(|_| {});
    for size in [(110, 30), (20, 3), (1, 1)] {
        let screen = drawn(&mut view, size.0, size.1);
        assert!(!screen.content().iter().any(|cell| cell.symbol().contains(char::is_control)));
    }
    assert!(text(&drawn(&mut view, 200, 30)).contains("conn 10.0.0.9\\u{1b}[2J"));
}

#[test]
fn a_document_of_another_version_is_refused() {
    let wrong = Document::parse("{\"curium\":2}").expect_err("another version");
    assert!(wrong.contains("version 2"), "{wrong}");
    assert!(Document::parse("{}").is_err());
    assert!(Document::parse("[").is_err());
    // What is of another kind than expected is left out.
    let odd =
        "{\"curium\":1,\"kernels\":[{\"tasks\":[{\"id\":3,\"parked\":[null]}],\"turn\":\"a\"}]}";
    assert_eq!(Document::parse(odd).expect("a document").tasks.len(), 1);
}

//! What the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::top::rows::Sort;
use crate::top::view::View;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    None,
    Quit,
    /// Of the task with that id.
    Cancel(String),
}

impl View {
    pub(crate) fn press(&mut self, key: KeyEvent) -> Act {
        if key.kind == KeyEventKind::Release {
            return Act::None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            let leaves = matches!(key.code, KeyCode::Char('c' | 'd'));
            return if leaves { Act::Quit } else { Act::None };
        }
        if let Some((id, _)) = self.question.take() {
            let yes = matches!(key.code, KeyCode::Char('y' | 'Y'));
            return if yes { Act::Cancel(id) } else { Act::None };
        }
        match key.code {
            KeyCode::Char('q') => return Act::Quit,
            KeyCode::Char('t') => self.sort_by(Sort::Tree),
            KeyCode::Char('a') => self.sort_by(Sort::Age),
            KeyCode::Char('p') => self.sort_by(Sort::Polls),
            KeyCode::Char('n') => self.sort_by(Sort::Name),
            KeyCode::Char('s') => self.sort_by(Sort::State),
            KeyCode::Up | KeyCode::Char('k') => self.select(self.selected.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected + 1),
            KeyCode::PageUp => self.select(self.selected.saturating_sub(self.height)),
            KeyCode::PageDown => self.select(self.selected + self.height),
            KeyCode::Home => self.select(0),
            KeyCode::End => self.select(usize::MAX),
            KeyCode::Enter => self.details = !self.details,
            KeyCode::Esc => {
                self.details = false;
                self.status = None;
            }
            KeyCode::Char('c') => {
                let task = self.task().map(|task| (task.id.clone(), task.name.clone()));
                if self.document.as_ref().is_some_and(|document| document.refuses_cancel) {
                    self.status = Some(
                        "this program does not allow `cancel`; see Monitor::allow_cancel".into(),
                    );
                    return Act::None;
                }
                if task.is_none() && !self.rows.is_empty() {
                    self.status = Some("a group is not cancelled by itself; select a task".into());
                }
                self.question = task;
            }
            _ => {}
        }
        Act::None
    }
}

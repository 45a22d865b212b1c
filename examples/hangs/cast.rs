//! The names of the tasks in a way to hang, their order and their neighbours, shuffled by a seed.
//! What is shown of a hang must not depend on them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::ways::FILE;

/// The text in which the marks of lines are looked for.
const WAYS: &str = include_str!("ways.rs");

/// The seed 0 changes nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast {
    pub(crate) seed: u64,
}

impl Cast {
    fn draw(self, what: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, what).hash(&mut hasher);
        hasher.finish()
    }

    /// The name of the task that plays this role.
    pub(crate) fn name(self, role: &str) -> String {
        match self.seed {
            0 => role.to_owned(),
            _ => format!("task {:05x}", self.draw(role) & 0xf_ffff),
        }
    }

    /// Whether what could come in two orders comes in the second one.
    pub(crate) fn flips(self) -> bool {
        self.seed != 0 && self.draw("order") % 2 == 1
    }

    /// The number of tasks that go on. Without any, some of the ways end in a panic that tells the
    /// deadlock.
    pub(crate) fn neighbours(self) -> u64 {
        if self.seed == 0 { 1 } else { 1 + self.draw("neighbours") % 4 }
    }

    /// The text with `{role}` replaced by a name, and `<mark>` by the line that ends in
    /// `// at: mark`.
    pub(crate) fn fill(self, text: &str) -> String {
        let mut filled = text.to_owned();
        while let Some((before, role, after)) = cut(&filled, '{', '}') {
            filled = format!("{before}{}{after}", self.name(role));
        }
        let lines: HashMap<&str, usize> = (1..)
            .zip(WAYS.lines())
            .filter_map(|(number, line)| Some((line.split_once("// at: ")?.1, number)))
            .collect();
        while let Some((before, mark, after)) = cut(&filled, '<', '>') {
            let line = lines.get(mark).unwrap_or_else(|| panic!("no line is marked {mark:?}"));
            filled = format!("{before}{FILE}:{line}:{after}");
        }
        filled
    }
}

/// What is before, between and after the first two signs.
fn cut(text: &str, open: char, close: char) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(open)?;
    let (between, after) = rest.split_once(close)?;
    Some((before, between, after))
}

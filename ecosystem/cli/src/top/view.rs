//! What the screen shows, apart from how it looks.

use std::collections::HashSet;

use crate::document::{Document, Task};
use crate::top::rows::{Node, Row, Sort, rows};

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) address: String,
    /// None: nothing has come yet.
    pub(crate) document: Option<Document>,
    pub(crate) rows: Vec<Row>,
    pub(crate) sort: Sort,
    pub(crate) reversed: bool,
    /// The place of the selected row.
    pub(crate) selected: usize,
    /// The place of the first row on the screen.
    pub(crate) first: usize,
    /// The number of rows on the screen.
    pub(crate) height: usize,
    pub(crate) details: bool,
    /// The task that is cancelled if the user says yes.
    pub(crate) question: Option<(String, String)>,
    /// What became of the last cancellation.
    pub(crate) status: Option<String>,
}

impl View {
    pub(crate) fn new(address: String) -> Self {
        View {
            address,
            document: None,
            rows: Vec::new(),
            sort: Sort::Tree,
            reversed: false,
            selected: 0,
            first: 0,
            height: 1,
            details: false,
            question: None,
            status: None,
        }
    }

    /// Shows another document. What was selected stays so, as long as it is there.
    pub(crate) fn update(&mut self, document: Document) {
        let selected = self.selected_key();
        self.document = Some(document);
        self.arrange(selected.as_deref());
    }

    pub(crate) fn sort_by(&mut self, sort: Sort) {
        self.reversed = self.sort == sort && sort != Sort::Tree && !self.reversed;
        self.sort = sort;
        let selected = self.selected_key();
        self.arrange(selected.as_deref());
    }

    fn arrange(&mut self, selected: Option<&str>) {
        let Some(document) = &self.document else { return };
        self.rows = rows(document, self.sort, self.reversed);
        let same = |row: &Row| selected.is_some_and(|key| document.key(row.node) == key);
        if let Some(at) = self.rows.iter().position(same) {
            self.selected = at;
        }
        self.select(self.selected);
    }

    fn selected_key(&self) -> Option<String> {
        let document = self.document.as_ref()?;
        self.rows.get(self.selected).map(|row| document.key(row.node))
    }

    pub(crate) fn select(&mut self, at: usize) {
        self.selected = at.min(self.rows.len().saturating_sub(1));
    }

    /// Makes the selected row one of those that are shown.
    pub(crate) fn scroll(&mut self, height: usize) {
        self.height = height.max(1);
        let least = (self.selected + 1).saturating_sub(self.height);
        let most = self.rows.len().saturating_sub(self.height);
        self.first = self.first.clamp(least, self.selected.max(least)).min(most.max(least));
    }

    /// The selected task, if it is one.
    pub(crate) fn task(&self) -> Option<&Task> {
        match self.rows.get(self.selected)?.node {
            Node::Task(at) => self.document.as_ref()?.tasks.get(at),
            Node::Scope(_) => None,
        }
    }

    /// The ids of the tasks that a verdict names.
    pub(crate) fn stuck(&self) -> HashSet<&str> {
        let Some(document) = &self.document else { return HashSet::new() };
        let verdicts = document.verdicts.iter().flat_map(|verdict| &verdict.tasks);
        let held = document.held.iter().map(|held| &held.task);
        verdicts.chain(held).map(|id| &**id).collect()
    }
}

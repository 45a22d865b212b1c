//! A queue as a list of items and a list of callers, searched from the front each time.

/// Which of the items comes first; they are in the order of their tickets.
pub(crate) type First = fn(&[(u64, u32)]) -> usize;

/// What a caller has been handed, and has not taken yet.
#[derive(Clone, Copy, PartialEq)]
enum Handed {
    Nothing,
    Item(u64, u32),
    /// A slot; its item gets this ticket.
    Slot(u64),
    /// A getter has taken its item.
    Taken,
    End,
}

#[derive(Clone, Copy, PartialEq)]
enum Wants {
    Item,
    ToPut(u32),
    ToHold,
}

/// A call that has not returned.
struct Caller {
    id: usize,
    wants: Wants,
    handed: Handed,
}

/// What a call returns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Answer {
    Waits,
    Got(u32),
    Put,
    Holds,
    End,
}

/// The state, as simple as it can be said.
pub(crate) struct Model {
    pub(crate) bound: usize,
    /// A free slot takes the item of the oldest putter at once, and not when that runs.
    pub(crate) direct: bool,
    first: First,
    items: Vec<(u64, u32)>,
    /// In order of arrival.
    callers: Vec<Caller>,
    pub(crate) held: usize,
    next: u64,
    pub(crate) closed: bool,
}

impl Model {
    pub(crate) fn new(bound: usize, first: First) -> Self {
        let (items, callers) = Default::default();
        let direct = bound == 0;
        Model { bound, direct, first, items, callers, held: 0, next: 0, closed: false }
    }

    fn count(&self, is: impl Fn(&Caller) -> bool) -> usize {
        self.callers.iter().filter(|caller| is(caller)).count()
    }

    fn promised(&self) -> usize {
        self.count(|caller| matches!(caller.handed, Handed::Slot(_)))
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The callers that wait to get.
    pub(crate) fn getters(&self) -> usize {
        self.count(|caller| caller.wants == Wants::Item && caller.handed == Handed::Nothing)
    }

    /// The callers that wait to put or to hold a slot.
    pub(crate) fn putters(&self) -> usize {
        self.count(|caller| caller.wants != Wants::Item && caller.handed == Handed::Nothing)
    }

    fn has_slot(&self) -> bool {
        let taken = self.promised() + self.held;
        // Without places, each getter that waits makes one.
        let places = if self.bound == 0 { self.getters() } else { self.bound };
        !self.closed && self.items.len() + taken < places
    }

    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Hands the free slots to the oldest putters, and the end. A get that ends frees no slot.
    fn settle(&mut self, serve: bool) {
        while serve && self.has_slot() && self.putters() > 0 {
            let (ticket, direct) = (self.ticket(), self.direct);
            let putter = self.oldest(|caller| caller.wants != Wants::Item);
            putter.handed = Handed::Slot(ticket);
            if let (true, Wants::ToPut(item)) = (direct, putter.wants) {
                putter.handed = Handed::Taken;
                self.accept(ticket, item);
            }
        }
        let out = self.count(|caller| matches!(caller.handed, Handed::Item(..)));
        let over = out + self.promised() + self.held + self.items.len() == 0;
        for caller in self.callers.iter_mut().filter(|caller| caller.handed == Handed::Nothing) {
            if self.closed && (over || caller.wants != Wants::Item) {
                caller.handed = Handed::End;
            }
        }
    }

    fn oldest(&mut self, is: impl Fn(&Caller) -> bool) -> &mut Caller {
        let waits = |caller: &&mut Caller| caller.handed == Handed::Nothing && is(caller);
        self.callers.iter_mut().find(waits).expect("one waits")
    }

    /// Gives an item to the oldest getter, or keeps it.
    fn place(&mut self, ticket: u64, item: u32) {
        if self.getters() > 0 {
            self.oldest(|caller| caller.wants == Wants::Item).handed = Handed::Item(ticket, item);
        } else {
            let at = self.items.partition_point(|(other, _)| *other < ticket);
            self.items.insert(at, (ticket, item));
        }
    }

    fn accept(&mut self, ticket: u64, item: u32) {
        self.place(ticket, item);
    }

    /// What a call gets without waiting, or `Waits`.
    fn at_once(&mut self, wants: Wants) -> Answer {
        if wants == Wants::Item {
            if !self.items.is_empty() {
                let (_, item) = self.items.remove((self.first)(&self.items));
                return Answer::Got(item);
            }
            if let Some(item) = self.take_from_a_putter() {
                return Answer::Got(item);
            }
            let out = self.count(|caller| matches!(caller.handed, Handed::Item(..)));
            let over = self.closed && out + self.promised() + self.held == 0;
            return if over { Answer::End } else { Answer::Waits };
        }
        if self.closed {
            return Answer::End;
        }
        if !self.has_slot() || self.putters() + self.promised() > 0 {
            return Answer::Waits;
        }
        match wants {
            Wants::ToPut(item) => {
                let ticket = self.ticket();
                self.accept(ticket, item);
                Answer::Put
            }
            _ => {
                self.held += 1;
                Answer::Holds
            }
        }
    }

    /// Without places: the item of the oldest putter, if no getter waits.
    fn take_from_a_putter(&mut self) -> Option<u32> {
        if self.bound > 0 || self.getters() > 0 || self.putters() == 0 {
            return None;
        }
        let putter = self.oldest(|caller| caller.wants != Wants::Item);
        let Wants::ToPut(item) = putter.wants else { return None };
        putter.handed = Handed::Taken;
        self.ticket();
        Some(item)
    }

    fn call(&mut self, id: Option<usize>, wants: Wants) -> Answer {
        let answer = self.at_once(wants);
        match (answer, id) {
            // A putter that comes while a slot is promised waits until that is used, even if
            // another slot is free.
            (Answer::Waits, Some(id)) => {
                self.callers.push(Caller { id, wants, handed: Handed::Nothing });
            }
            (Answer::Waits, None) => {}
            _ => self.settle(true),
        }
        if self.bound == 0 {
            self.settle(true);
        }
        answer
    }

    /// The first poll of a get; without an id, a get that does not wait.
    pub(crate) fn get(&mut self, id: Option<usize>) -> Answer {
        self.call(id, Wants::Item)
    }

    pub(crate) fn put(&mut self, id: Option<usize>, item: u32) -> Answer {
        self.call(id, Wants::ToPut(item))
    }

    pub(crate) fn hold(&mut self, id: Option<usize>) -> Answer {
        self.call(id, Wants::ToHold)
    }

    /// Whether a call that waits was handed something.
    pub(crate) fn is_handed(&self, id: usize) -> bool {
        self.callers.iter().any(|caller| caller.id == id && caller.handed != Handed::Nothing)
    }

    fn remove(&mut self, id: usize) -> Caller {
        let at = self.callers.iter().position(|caller| caller.id == id).expect("it waits");
        self.callers.remove(at)
    }

    /// A later poll.
    pub(crate) fn poll(&mut self, id: usize) -> Answer {
        if !self.is_handed(id) {
            return Answer::Waits;
        }
        let caller = self.remove(id);
        let answer = match (caller.handed, caller.wants) {
            (Handed::Item(_, item), _) => Answer::Got(item),
            (Handed::Slot(ticket), Wants::ToPut(item)) => {
                self.accept(ticket, item);
                Answer::Put
            }
            (Handed::Slot(_), _) => {
                self.held += 1;
                Answer::Holds
            }
            (Handed::Taken, _) => Answer::Put,
            _ => Answer::End,
        };
        self.settle(caller.wants != Wants::Item);
        answer
    }

    /// The call is dropped.
    pub(crate) fn drop(&mut self, id: usize) {
        let handed = self.remove(id).handed;
        if let Handed::Item(ticket, item) = handed {
            self.place(ticket, item);
        }
        self.settle(matches!(handed, Handed::Slot(_)));
    }

    /// A held slot is filled, or dropped.
    pub(crate) fn release(&mut self, item: Option<u32>) {
        if let Some(item) = item {
            let ticket = self.ticket();
            self.accept(ticket, item);
        }
        self.held -= 1;
        self.settle(true);
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.settle(true);
    }
}

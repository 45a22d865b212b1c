//! The values that a task inherits (K10): an immutable list, which is shared by the tasks that see
//! the same values.

use std::any::Any;
use std::rc::Rc;

/// The values of some keys.
pub(crate) struct Values(Vec<(usize, Rc<dyn Any>)>);

impl Values {
    /// Those of `outer`, with another value for one key.
    pub(crate) fn with(outer: Option<&Values>, key: usize, value: Rc<dyn Any>) -> Self {
        let kept = outer.into_iter().flat_map(|outer| &outer.0).filter(|(of, _)| *of != key);
        let mut values: Vec<_> = kept.cloned().collect();
        values.push((key, value));
        Values(values)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: usize) -> Option<&Rc<dyn Any>> {
        self.0.iter().find(|(of, _)| *of == key).map(|(_, value)| value)
    }
}

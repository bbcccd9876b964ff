//! Rows in a raw page, for salvage: which page it is, and whether it still is in use, is unknown.

use std::sync::Arc;

use super::node::Node;
use super::{Shape, Tree};

/// The bytes of a row's key.
const KEY_LEN: usize = 12;

/// Keys and values of what may be a leaf of rows. At most as many bytes as the page has are shown, so
/// that a page that only looks like one costs no more than that.
pub(in crate::store) fn rows(page: &[u8]) -> Vec<(&[u8], &[u8])> {
    let tree = Tree::Table(Arc::new(Shape {
        name: String::new(),
        key: Some(KEY_LEN),
        value: None,
        apart: false,
    }));
    let Some(node) = Node::parse(page, &tree) else {
        return Vec::new();
    };
    let mut room = page.len();
    let fits = |(key, value): &(&[u8], &[u8])| {
        let len = key.len() + value.len();
        let fits = len <= room;
        room = room.saturating_sub(len);
        fits
    };
    node.entries().take_while(fits).collect()
}

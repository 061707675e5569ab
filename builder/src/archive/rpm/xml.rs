//! XML as repositories have it, read as a stream: elements, their attributes and their text.
//!
//! A document type is refused, and with it every entity that a document could define; what is read is only what comes, so
//! that nothing in it can grow beyond its own size.

use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// What a document says next. Names are without their prefix (`rpm:entry` is `entry`).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// An element begins; an empty one ends at once.
    Open(Element),
    /// The element of this name ends.
    Close(String),
    /// A part of an element's text.
    Text(String),
}

/// The beginning of an element.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A document.
pub(super) struct Document<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
    /// How many elements have begun and not ended.
    open: usize,
}

impl<R: BufRead> Document<R> {
    pub fn new(reader: R) -> Self {
        let mut reader = Reader::from_reader(reader);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, buffer: Vec::new(), open: 0 }
    }

    /// What comes next; none at the end. What is wrong is told with its place, in bytes from the beginning.
    pub fn next(&mut self) -> Result<Option<Node>, String> {
        loop {
            self.buffer.clear();
            let at = self.reader.buffer_position();
            let event = self.reader.read_event_into(&mut self.buffer);
            let told = |error: &dyn std::fmt::Display| format!("byte {at}: {error}");
            let node = match event.map_err(|error| told(&error))? {
                Event::Start(start) => {
                    self.open += 1;
                    Node::Open(element(&start).map_err(|error| told(&error))?)
                }
                Event::End(end) => {
                    self.open = self.open.saturating_sub(1);
                    Node::Close(text(end.local_name().as_ref()).map_err(|error| told(&error))?)
                }
                Event::Text(content) => Node::Text(text(&content).map_err(|error| told(&error))?),
                Event::CData(content) => Node::Text(text(&content).map_err(|error| told(&error))?),
                Event::GeneralRef(name) => {
                    let code = name.resolve_char_ref().map_err(|error| told(&error))?;
                    let name = text(&name).map_err(|error| told(&error))?;
                    let known = quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned);
                    let value = code.map(String::from).or(known);
                    Node::Text(value.ok_or_else(|| told(&format!("the entity `&{name};` is unknown")))?)
                }
                Event::DocType(_) => return Err(told(&"a document type, which no repository has")),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => continue,
                Event::Eof if self.open > 0 => return Err(told(&"it ends within an element")),
                Event::Eof => return Ok(None),
            };
            return Ok(Some(node));
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| format!("not UTF-8: {error}"))
}

fn element(start: &BytesStart) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.unescape_value().map_err(|error| error.to_string())?.into_owned();
        attributes.push((text(attribute.key.as_ref())?, value));
    }
    Ok(Element { name: text(start.local_name().as_ref())?, attributes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Result<Vec<Node>, String> {
        let mut document = Document::new(document.as_bytes());
        let mut nodes = Vec::new();
        while let Some(node) = document.next()? {
            nodes.push(node);
        }
        Ok(nodes)
    }

    #[test]
    fn elements_attributes_and_text_are_read_without_prefixes() {
        let nodes = read("<?xml version='1.0'?><!-- x --><a:b c='1 &lt; 2'>x &amp;&#65;<d/></a:b>").unwrap();
        let text: String =
            nodes.iter().filter_map(|node| if let Node::Text(text) = node { Some(&**text) } else { None }).collect();
        assert_eq!(text, "x &A");
        let Node::Open(element) = &nodes[0] else { panic!("{nodes:?}") };
        assert_eq!((element.name.as_str(), element.get("c"), element.get("d")), ("b", Some("1 < 2"), None));
        assert_eq!(nodes[nodes.len() - 2..], [Node::Close("d".to_owned()), Node::Close("b".to_owned())]);
    }

    #[test]
    fn entities_that_a_document_defines_are_refused() {
        let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;'>]><x>&b;</x>";
        for (document, told) in [
            (bomb, "byte 0: a document type"),
            ("<x>&b;</x>", "byte 3: the entity `&b;` is unknown"),
            ("<x y='&b;'/>", "b"),
            ("<x></y>", "byte 3: "),
            ("<x><y/>", "byte 7: it ends within an element"),
            ("<x>\u{0}</x", "byte "),
        ] {
            let error = read(document).unwrap_err();
            assert!(error.contains(told), "{document}: {error}");
        }
    }
}

use super::super::{CANONICAL, GENERIC_CLASSIC};
use super::*;

fn one(head: &str) -> Assertion {
    let mut all = Assertion::stream(&format!("{head}\n\nAcLB\n"), "test").unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn told(text: &str) -> String {
    Assertion::stream(text, "test").unwrap_err().to_string()
}

const HEAD: &str = "type: model\nauthority-id: me\nsign-key-sha3-384: abc";

#[test]
fn streams_are_read_and_written_to_the_byte() {
    let all = Assertion::stream(GENERIC_CLASSIC, "generic").unwrap();
    assert_eq!(all.iter().map(Assertion::kind).collect::<Vec<_>>(), ["account", "account-key", "model"]);
    assert_eq!(stream(&all), GENERIC_CLASSIC);
    assert_eq!(stream(&Assertion::stream(CANONICAL, "canonical").unwrap()), CANONICAL);
    assert_eq!(all[2].name(), "model 16 generic generic-classic");
    assert!(Assertion::stream("\n\n", "test").unwrap().is_empty());
}

#[test]
fn values_may_be_lists_maps_and_text_of_several_lines() {
    let text = "\nplugs:\n  network:\n    allow: true\n    names:\n      - a\n      -\n          two\n          lines\nnote:\n    one\n     two";
    let found = one(&format!("{HEAD}{text}"));
    let Value::Map(plugs) = &found.headers["plugs"] else { panic!() };
    let Value::Map(network) = &plugs["network"] else { panic!() };
    assert_eq!(network["allow"].text(), Some("true"));
    let names = [Value::Text("a".into()), Value::Text("two\nlines".into())];
    assert_eq!(network["names"], Value::List(names.to_vec()));
    assert_eq!(found.header("note"), Some("one\n two"));
    assert_eq!(one(&format!("{HEAD}\nrequired-snaps:\n  - a\n  - b")).list("required-snaps"), ["a", "b"]);
}

#[test]
fn a_body_has_exactly_its_length() {
    let text = |length: usize| format!("{HEAD}\nbody-length: {length}\n\nBO\n\nDY\n\nAcLB\n");
    let all = Assertion::stream(&text(6), "test").unwrap();
    assert_eq!(all[0].body(), "BO\n\nDY");
    assert!(all[0].signed().0.ends_with("body-length: 6\n\nBO\n\nDY"));
    assert!(told(&text(5)).contains("does not end after the 5 bytes"));
    assert!(told(&text(500)).contains("ends before its 500 bytes"));
    assert!(told(&text(3 << 20)).contains("of which 2097152 are allowed"));
}

#[test]
fn what_is_no_assertion_is_told_with_its_place() {
    assert!(told("type: model").contains("no empty line before its signature"));
    let second = format!("{HEAD}\n\nAcLB\n\ntype model\n\nAcLB\n");
    assert!(told(&second).contains("assertion 2 of the stream: found `type model`"));
    for (text, expected) in [
        ("\nType: x", "`Type` can't be the name of a header"),
        ("\na: 1\na: 2", "has the header `a` twice"),
        ("\na:1", "expected a space before the value"),
        ("\na:\nb: 2", "a value is announced and does not follow"),
        ("\na:\n  b: 1\n  b: 2", "has the header `b` twice"),
    ] {
        let found = told(&format!("{HEAD}{text}\n\nAcLB\n"));
        assert!(found.contains(expected), "{found}");
    }
    assert!(told("type: model\nauthority-id: me\n\nAcLB\n").contains("no header `sign-key-sha3-384`"));
    assert!(told(&format!("{HEAD}\n\n\n")).contains("no signature"));
}

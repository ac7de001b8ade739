//! The limits of an expression.

use super::*;

/// Bytes that an expression holds, its own blocks counted as they were asked for.
fn bytes(expression: &Expression) -> usize {
    let compiled = &expression.0;
    let mut total = size_of::<Compiled>() + 16 + compiled.text.len();
    total += compiled.dependencies.len() * size_of::<Dependency>();
    let name = |name: &Name| {
        let id = if let Root::Device(id) = &name.root { 16 + id.as_str().len() } else { 0 };
        size_of::<Name>() + id + name.path.iter().map(|part| 16 + part.len()).sum::<usize>()
    };
    compiled.root.walk(&mut |node| {
        total += match &node.kind {
            Kind::Name(it) => name(it),
            Kind::Text(text) => text.len(),
            Kind::And(parts) | Kind::Or(parts) | Kind::List(parts) | Kind::Call(_, parts) => {
                parts.len() * size_of::<Node>()
            }
            Kind::Binary(..) | Kind::Index(_) | Kind::Each(..) => 2 * size_of::<Node>(),
            Kind::Not(_) | Kind::Negate(_) | Kind::Has(_) => size_of::<Node>(),
            Kind::Choose(_) => 3 * size_of::<Node>(),
            _ => 0,
        };
    });
    total
}

#[test]
fn an_expression_is_small() {
    let expression = compile("pump.open == false && pump.speed > 3");
    let bytes = bytes(&expression);
    assert!(bytes < 1_000, "{bytes}");
    assert_eq!(size_of::<Expression>(), 8);
}

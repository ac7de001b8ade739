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
            ExpressionKind::Name(it) => name(it),
            ExpressionKind::Text(text) => text.len(),
            ExpressionKind::And(parts)
            | ExpressionKind::Or(parts)
            | ExpressionKind::List(parts)
            | ExpressionKind::Call(_, parts) => parts.len() * size_of::<ExpressionNode>(),
            ExpressionKind::Binary(..) | ExpressionKind::Index(_) | ExpressionKind::Each(..) => {
                2 * size_of::<ExpressionNode>()
            }
            ExpressionKind::Not(_) | ExpressionKind::Negate(_) | ExpressionKind::Has(_) => {
                size_of::<ExpressionNode>()
            }
            ExpressionKind::Choose(_) => 3 * size_of::<ExpressionNode>(),
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

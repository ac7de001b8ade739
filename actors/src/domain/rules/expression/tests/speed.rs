//! What it costs. Nothing is asserted of time; run them by hand:
//! `cargo test --release -p twinhub-actors --lib expression::tests::speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use super::*;

fn measure(what: &str, times: u32, mut act: impl FnMut()) {
    let start = Instant::now();
    for _ in 0..times {
        act();
    }
    println!("{what}: {:?} each", start.elapsed() / times);
}

#[test]
#[ignore = "it measures"]
fn time() {
    let world = World::new();
    let scope = world.scope();
    for text in
        ["pump.open == false && pump.speed > 3", "pump.power == 'on'", "pump.humidity.quality == 'good'"]
    {
        let expression = compile(text);
        measure(&format!("evaluate {text}"), 200_000, || {
            black_box(expression.evaluate(black_box(&scope)));
        });
        measure(&format!("compile {text}"), 50_000, || {
            black_box(Expression::compile(black_box(text)).unwrap());
        });
        measure(&format!("cel compiles {text}"), 2_000, || {
            black_box(::cel::Program::compile(black_box(text)).unwrap());
        });
    }
    let mean = format!("[{0}].all(x, [{0}].all(y, x + y > 0))", vec!["1"; 100].join(","));
    let mean = compile(&mean);
    measure("evaluate one that costs too much", 1_000, || {
        black_box(mean.evaluate(black_box(&scope)));
    });
    let deep = "(".repeat(2_000);
    measure("refuse 2,000 brackets", 10_000, || {
        black_box(Expression::compile(black_box(&deep)).unwrap_err());
    });
}

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
    println!("{bytes} bytes, a node {}", size_of::<Node>());
    assert!(bytes < 1_000, "{bytes}");
    assert_eq!(size_of::<Expression>(), 8);
}

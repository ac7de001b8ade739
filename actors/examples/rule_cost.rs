//! The cost of the expressions and templates of rules: `cargo run --release -p twinhub-actors --example rule_cost`.

use std::hint::black_box;
use std::time::Instant;

use twinhub_domain::twin::Input;
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Json, Object, Timestamp, Twin, payload};
use twinhub_rules::expression::{EvaluationScope, Expression, Twins};
use twinhub_rules::template::TextTemplate;

struct One(Twin);

impl Twins for One {
    fn twin(&self, id: &str) -> Option<&Twin> {
        (id == self.0.id.as_str()).then_some(&self.0)
    }
}

fn measure(what: &str, times: u32, mut act: impl FnMut()) {
    let start = Instant::now();
    for _ in 0..times {
        act();
    }
    println!("{what:<60} {:?} each", start.elapsed() / times);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = Timestamp::from_millis(1_767_225_600_000);
    let mut pump = Twin::new(DeviceId::parse("pump")?, DeviceNumber(1), now);
    let said = payload::object(br#"{"open": false, "speed": 5, "power": "on", "humidity": 40.5}"#)?;
    pump.apply(Input::Report(said), now, &Cause::hub())?;
    let (id, twins) = (pump.id.clone(), One(pump));
    let trigger: Object = [("value", Json::from(29))].into_iter().collect();
    let scope = EvaluationScope { twins: &twins, now, trigger: &trigger, device: Some(&id) };
    for text in
        ["pump.open == false && pump.speed > 3", "pump.power == 'on'", "pump.humidity.quality == 'good'"]
    {
        let expression = Expression::compile(text)?;
        measure(&format!("evaluate {text}"), 200_000, || {
            black_box(expression.evaluate(black_box(&scope)));
        });
        measure(&format!("compile {text}"), 50_000, || {
            black_box(Expression::compile(black_box(text)).is_ok());
        });
        measure(&format!("  the crate `cel` compiles {text}"), 2_000, || {
            black_box(cel::Program::compile(black_box(text)).is_ok());
        });
    }
    let dear =
        Expression::compile(&format!("[{0}].all(x, [{0}].all(y, x + y > 0))", vec!["1"; 100].join(",")))?;
    measure("evaluate one that costs too much", 1_000, || {
        black_box(dear.evaluate(black_box(&scope)));
    });
    let deep = "(".repeat(2_000);
    measure("refuse 2,000 brackets", 10_000, || {
        black_box(Expression::compile(black_box(&deep)).is_err());
    });
    for text in
        ["Greenhouse {{ trigger.value }} °C", "{% if pump.speed > 3 %}{{ pump.power | upper }}{% endif %}"]
    {
        let template = TextTemplate::compile(text)?;
        measure(&format!("fill {text}"), 20_000, || {
            black_box(template.fill(black_box(&scope)).is_ok());
        });
    }
    Ok(())
}

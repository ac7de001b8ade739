//! The alarms: the one place where they are raised, cleared and acknowledged.

use actix::{Actor, Context, Handler};

use crate::messages::alarms::{Acknowledge, Clear, ClearType, Forget, Raise};

/// See the module.
pub struct Alarms;

impl Actor for Alarms {
    type Context = Context<Self>;
}

macro_rules! nothing {
    ($message:ident) => {
        impl Handler<$message> for Alarms {
            type Result = ();
            fn handle(&mut self, _: $message, _: &mut Context<Self>) {}
        }
    };
}
nothing!(Raise);
nothing!(ClearType);
nothing!(Clear);
nothing!(Acknowledge);
nothing!(Forget);

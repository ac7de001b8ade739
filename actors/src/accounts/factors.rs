//! Second factors: begun, confirmed and ended. A stolen session must not be enough to lock its owner out, so users give
//! their password to begin one and to end it; what was begun nobody else can confirm, who does not have the secret.

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use twinhub_access::password::{About, Password, PasswordPolicy};
use twinhub_access::totp::{CODE_BYTES, CODES, RecoveryCode, TotpSecret};
use twinhub_access::{Action, User, UserId};
use twinhub_domain::Timestamp;

use super::hashing::random;
use super::trail::{entry, target_of};
use super::{Accounts, answer};
use crate::messages::accounts::{
    AccountRefusal, Asker, BeginTotp, ConfirmTotp, EndTotp, TotpBegun, TypedCode,
};

/// The time in which a code must confirm a second factor.
const TOTP_MS: i64 = 10 * 60 * 1_000;
/// The hub's name in apps for second factors.
const HUB: &str = "twinhub";

/// Makes a secret for the caller, once their password is right.
pub(super) fn begin(accounts: &mut Accounts, begin: BeginTotp, ctx: &mut Context<Accounts>) {
    let BeginTotp { password, by, reply } = begin;
    let id = by.user.ok_or(AccountRefusal::NotSignedIn);
    let free = id.and_then(|id| match accounts.people.find(id)?.totp {
        Some(_) => Err(AccountRefusal::HasTotp),
        None => Ok(id),
    });
    let id = match free {
        Ok(id) => id,
        Err(refusal) => return answer(reply, Err(refusal)),
    };
    with_own_password(accounts, id, Some(password), &by, ctx, |accounts, given, _| {
        let begun = given.and_then(|(user, _)| {
            let secret = TotpSecret::new(random()?);
            accounts.totp_begun.insert(user.id, (secret, accounts.clock.now()));
            Ok(TotpBegun { address: secret.reveal_address(HUB, user.name.as_str()) })
        });
        answer(reply, begun);
    });
}

/// Turns on what was begun, by its first code.
pub(super) fn confirm(accounts: &mut Accounts, confirm: ConfirmTotp, ctx: &mut Context<Accounts>) {
    let ConfirmTotp { code, by, reply } = confirm;
    let now = accounts.clock.now();
    match confirmed(accounts, &code, &by, now) {
        Ok((user, codes)) => {
            accounts.totp_begun.remove(&user.id);
            let audit = entry(&by, now, Action::TotpEnabled, &target_of(&user));
            accounts.write_user(user, vec![audit], |_| codes, reply, ctx);
        }
        Err(refusal) => answer(reply, Err(refusal)),
    }
}

/// The user with the second factor that they began, and its recovery codes.
fn confirmed(
    accounts: &Accounts,
    code: &TypedCode,
    by: &Asker,
    now: Timestamp,
) -> Result<(User, Vec<RecoveryCode>), AccountRefusal> {
    let user = accounts.people.find(by.user.ok_or(AccountRefusal::NotSignedIn)?)?;
    let begun = accounts.totp_begun.get(&user.id);
    let (secret, _) = begun
        .filter(|(_, at)| now.millis().abs_diff(at.millis()) < TOTP_MS.unsigned_abs())
        .ok_or(AccountRefusal::NoTotpBegun)?;
    let mut random_codes = [[0; CODE_BYTES]; CODES];
    for code in &mut random_codes {
        *code = random()?;
    }
    let confirmed = secret.confirmed(&code.0, &random_codes, now);
    let (totp, codes) = confirmed.ok_or(AccountRefusal::Code)?;
    Ok((User { totp: Some(totp), ..user.clone() }, codes))
}

/// Turns a second factor off: one's own by the password, another's where the caller may.
pub(super) fn end(accounts: &mut Accounts, end: EndTotp, ctx: &mut Context<Accounts>) {
    let EndTotp { user, password, by, reply } = end;
    let known = by.check_account(user).and_then(|is_own| match accounts.people.find(user)? {
        User { totp: None, .. } => Err(AccountRefusal::NoTotp),
        user => Ok((is_own, user.clone())),
    });
    let (is_own, before) = match known {
        Ok(known) => known,
        Err(refusal) => return answer(reply, Err(refusal)),
    };
    let audit = entry(&by, accounts.clock.now(), Action::TotpDisabled, &target_of(&before));
    if !is_own {
        return accounts.write_user(User { totp: None, ..before }, vec![audit], |_| (), reply, ctx);
    }
    with_own_password(accounts, user, password, &by, ctx, |accounts, given, ctx| {
        let after = given.and_then(|(user, typed)| {
            // Without the second factor it may have to be longer.
            let about = About { name: &user.name, email: user.email.as_ref() };
            PasswordPolicy::new(accounts.settings.only_loopback, false).check(&typed, about)?;
            Ok(User { totp: None, ..user })
        });
        match after {
            Ok(after) => accounts.write_user(after, vec![audit], |_| (), reply, ctx),
            Err(refusal) => answer(reply, Err(refusal)),
        }
    });
}

/// Goes on with the caller as they are once their password was checked, and with that; or with the reason why it counts
/// for nothing.
fn with_own_password(
    accounts: &mut Accounts,
    id: UserId,
    typed: Option<Password>,
    by: &Asker,
    ctx: &mut Context<Accounts>,
    then: impl FnOnce(&mut Accounts, Result<(User, Password), AccountRefusal>, &mut Context<Accounts>) + 'static,
) {
    let now = accounts.clock.now();
    let asked = accounts.people.find(id).cloned().and_then(|user| {
        let own = accounts.own_password(&user, typed, by, now)?;
        own.map(|own| (user, own)).ok_or(AccountRefusal::NotSignedIn)
    });
    let (before, (typed, tried)) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return then(accounts, Err(refusal), ctx),
    };
    let checked = accounts.hashing.check(typed.clone(), before.password.clone());
    ctx.spawn(checked.into_actor(accounts).map(move |checked, accounts, ctx| {
        let given = checked.and_then(|check| {
            let user = accounts.people.find(id)?;
            match check.is_right && user.password == before.password {
                true => Ok((user.clone(), typed)),
                false => Err(AccountRefusal::OldPassword),
            }
        });
        match &given {
            Ok(_) => accounts.limits.succeeded(tried, now),
            Err(refusal) => accounts.not_judged(Some(tried), refusal),
        }
        then(accounts, given, ctx);
    }));
}

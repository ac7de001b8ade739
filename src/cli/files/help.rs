//! The examples that `--help` shows below the options: the same for all kinds, but for the lines of the files.

use clap::Command;

/// Of `devices import`.
pub fn import_devices(command: Command) -> Command {
    command.after_help(format!(
        "Examples:

  twinhub devices import pumps.csv
  twinhub devices import pumps.csv --dry-run           what would be refused, and nothing is changed
  twinhub devices import pumps.csv --existing update --report refused.jsonl
  twinhub devices export | twinhub devices import - --url http://other:8080

The groups and templates that devices name come in first. {REFUSED}

  pumps.csv:17: settings.heartbeat: expected a duration of a second or more such as 90s or 5m, …

{COLUMNS}

  device_id,name,type,group_id,tags.floor,configuration.interval,settings.heartbeat,desired.power
  pump-1,Pump 1,pump,hall,2,1.5,90s,on

{CELLS}"
    ))
}

/// Of `groups import`.
pub fn import_groups(command: Command) -> Command {
    without("tokens", command).after_help(format!(
        "Examples:

  twinhub groups import halls.csv
  twinhub groups import halls.csv --dry-run            what would be refused, and nothing is changed
  twinhub groups export | twinhub groups import - --url http://other:8080

They stand in any order: a group may be named above its own line. {REFUSED}

  halls.csv:17: parent_group: there is no group `campus`

{COLUMNS}

  id,name,parent_group,tags.floor
  campus,Campus,,
  hall,Hall,campus,2

{CELLS}"
    ))
}

/// Of `templates import`.
pub fn import_templates(command: Command) -> Command {
    without("tokens", command).after_help(format!(
        "Examples:

  twinhub templates import kinds.csv
  twinhub templates import kinds.csv --dry-run         what would be refused, and nothing is changed
  twinhub templates export | twinhub templates import - --url http://other:8080

{REFUSED}

  kinds.csv:17: settings.heartbeat: expected a duration of a second or more such as 90s or 5m, …

{COLUMNS}

  id,name,applies_to.type,configuration.interval,tags.kind,settings.heartbeat
  pump,Pumps,pump,10,pump,90s

{CELLS}"
    ))
}

/// Of `devices export`.
pub fn export_devices(command: Command) -> Command {
    command.after_help(format!(
        "Examples:

  twinhub devices export                               JSON Lines, to the standard output
  twinhub devices export pumps.csv --query 'type=pump&tag.floor=2'
  twinhub devices export devices.jsonl

Tokens are not in it. {WHOLE}"
    ))
}

/// Of `groups export`.
pub fn export_groups(command: Command) -> Command {
    export_all("groups", command)
}

/// Of `templates export`.
pub fn export_templates(command: Command) -> Command {
    export_all("templates", command)
}

fn export_all(what: &str, command: Command) -> Command {
    without("query", command).after_help(format!(
        "Examples:

  twinhub {what} export                                JSON Lines, to the standard output
  twinhub {what} export backup.csv

{WHOLE}"
    ))
}

/// An option that only devices have.
fn without(option: &'static str, command: Command) -> Command {
    command.mut_arg(option, |option| option.hide(true))
}

const REFUSED: &str =
    "A refused line is reported with its number, the field and the reason; all others are imported:";

const COLUMNS: &str = "CSV has a line of names above; `,`, `;` or tabs part the cells; a tag or the like has a column of its own:";

const CELLS: &str =
    "In a column whose name has a dot, a cell that reads as JSON is that: 2 is a number, \"2\" in quotes a \
text. An empty cell says nothing. What was broken off is gone on with by --existing skip.

Exit status: 0 all lines are in, 1 some were refused, 2 it could not be done.";

const WHOLE: &str = "A file is there whole, or not at all.";

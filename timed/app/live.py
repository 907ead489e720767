"""The configuration in force, and changing it while the node runs.

A change is checked by the same code as the file, then told to whoever asked for its
key; when one of them refuses, nothing has changed. Unless it is confirmed in time it
is taken back; a restart takes back what was not confirmed, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from timed.app.config import Config, Layers, nearest, settings_from
from timed.app.inifile import Entry
from timed.app.overrides import read_overrides, written
from timed.app.schema import Key, Settings, keys
from timed.errors import ConfigError, LocalError, NotLive, NotPending, StoreError, UnknownKey
from timed.wallet.walletfile import replace_file

MAX_SUBSCRIPTIONS = 64
"""Whoever asks for keys, in one process: a bug beyond it."""
UNCONFIRMED = "setconfig, not confirmed"
UNNAMED = "this process"

Tell = Callable[[Config], None]
"""Told the new configuration; refuses it with a LocalError and has changed nothing then."""


@attrs.define(eq=False)
class _Subscription:
    keys: frozenset[str]
    tell: Tell


@attrs.define(eq=False)
class _Pending:
    """A change that goes back to what the file holds at `deadline`, by the reactor's clock."""

    deadline: float
    call: IDelayedCall


@attrs.frozen
class Setting:
    """One key as `getconfig` shows it; texts are as a file has them, but for what is concealed."""

    key: Key
    text: str
    source: str
    """Where it was written; empty for the default."""
    after_restart: str
    """What the value would be after a restart now."""
    seconds_left: float | None
    """Until a change that is not confirmed goes back."""
    applied: bool
    """False when nothing in this process reads the key."""


class LiveConfig:
    """Owns the configuration of a process. Used on the reactor's thread; `stop` leaves no call behind."""

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        in_thread: Callable[..., Deferred[Any]],
        replace: Callable[[str, bytes], None] = replace_file,
    ) -> None:
        self.config = config
        self.counters = {"changed": 0, "confirmed": 0, "rolled_back": 0, "refused": 0}
        self._path: Path = config.overrides_file
        self._reactor = reactor
        self._in_thread = in_thread
        self._replace = replace
        self._subscriptions: list[_Subscription] = []
        self._kept = {_name(entry): entry for entry in config.layers.overrides}
        """What the file holds."""
        self._early = set(self._kept)
        """Of these, what was there at the start: the command line wins over it."""
        self._changed: dict[str, str | None] = {}
        """Not confirmed: the new text, None for no override."""
        self._pending: dict[str, _Pending] = {}
        self._turn = DeferredLock()
        """One change at a time: each may wait for the disk."""

    def subscribe(self, names: Iterable[str], tell: Tell) -> Callable[[], None]:
        """Tell of each change of one of these keys, until what is returned is called."""
        subscription = _Subscription(frozenset(names), tell)
        unknown = subscription.keys - {row.full_name for row in keys() if row.live}
        if unknown or len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise LocalError(f"cannot follow {', '.join(sorted(unknown)) or 'more keys'}.")
        self._subscriptions.append(subscription)
        return lambda: self._subscriptions.remove(subscription)

    def stop(self) -> None:
        """What was not confirmed ends with the process."""
        for name in list(self._pending):
            self._forget(name)

    # Showing

    def shown(self, name: str = "") -> list[Setting]:
        """One key, a section, or all; UnknownKey."""
        rows = list(keys())
        chosen = [row for row in rows if name in ("", row.section, row.full_name)]
        if not chosen:
            raise _unknown(name)
        later = settings_from(self._layers_after_restart().entries)
        return [self._setting(row, later) for row in chosen]

    def _setting(self, row: Key, later: Settings) -> Setting:
        name = row.full_name
        pending = self._pending.get(name)
        return Setting(
            key=row,
            text=row.kind.tell(_value(self.config.settings, row)),
            source=self.config.layers.source(name),
            after_restart=row.kind.tell(_value(later, row)),
            seconds_left=None if pending is None else max(0.0, pending.deadline - self._reactor.seconds()),
            applied=any(name in subscription.keys for subscription in self._subscriptions),
        )

    # Changing

    def change(
        self, name: str, text: str | None, confirm_within_s: float, by: str = UNNAMED
    ) -> Deferred[Setting]:
        """Give a key a value, or with None the one it has without `setconfig`. The log says who did, `by`.

        It goes back by itself after `confirm_within_s`; with 0 it is durable when the
        answer comes. ConfigError says what is wrong; StoreError that the disk refuses.
        """
        return self._alone(self._change, name, text, confirm_within_s, by)

    def confirm(self, name: str = "", by: str = UNNAMED) -> Deferred[list[str]]:
        """Keep a change that is pending, or all of them: durable when the answer comes. Their names."""
        return self._alone(self._confirm, name, by)

    def reread(self) -> list[str]:
        """Take over what another process has written to the file; the names of what changed."""
        entries = read_overrides(self._path)
        before, self._kept = self._kept, {_name(entry): entry for entry in entries}
        early, self._early = self._early, set(self._kept)
        try:
            return sorted(self._put_in_force())
        except Exception:
            self._kept, self._early = before, early
            raise

    def _alone(self, act: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """After every change before it; whoever does not wait for the end any more ends nothing."""
        answer: Deferred[Any] = Deferred()
        self._turn.run(act, *args).chainDeferred(answer)
        return answer

    async def _change(self, name: str, text: str | None, confirm_within_s: float, by: str) -> Setting:
        row = _live(name)
        before = self._told(row)
        if text is not None:
            text = _checked(row, text)
        was = self._changed.copy()
        self._try(name, text)
        self.counters["changed"] += 1
        if confirm_within_s:
            self._wait(name, confirm_within_s)
        else:
            try:
                await self._keep([name])
            except LocalError:
                self._changed = was
                self._put_in_force()
                raise
        self._log.info(
            "{by} has changed {key} from {before} to {value}",
            by=by,
            key=name,
            before=before,
            value=self._told(row),
        )
        return self.shown(name)[0]

    async def _confirm(self, name: str, by: str) -> list[str]:
        names = [name] if name else sorted(self._pending)
        if not names or any(each not in self._pending for each in names):
            raise NotPending(
                f"no change of {name} waits to be confirmed." if name else "no change waits to be confirmed.",
                "It may have gone back already: getconfig shows what is in force.",
            )
        await self._keep(names)
        self.counters["confirmed"] += len(names)
        self._log.info("{by} has kept for good: {names}", by=by, names=", ".join(names))
        return names

    async def _keep(self, names: list[str]) -> None:
        """Make pending changes durable; StoreError, and they go on waiting, when the disk refuses."""
        texts: dict[str, str | None] = {key: entry.text for key, entry in self._kept.items()}
        texts.update({name: self._changed[name] for name in names})
        data, entries = written({key: text for key, text in texts.items() if text is not None}, self._path)
        try:
            await self._in_thread(self._replace, str(self._path), data)
        except OSError as error:
            raise StoreError(
                f"cannot write {self._path}: {error.strerror}.", "Mend the disk, then confirm again."
            ) from error
        self._kept = {_name(entry): entry for entry in entries}
        self._early -= set(names)
        for name in names:
            self._changed.pop(name, None)
            self._forget(name)
        self._put_in_force()

    def _wait(self, name: str, seconds: float) -> None:
        self._forget(name)
        call = self._reactor.callLater(seconds, self._over, name)
        self._pending[name] = _Pending(self._reactor.seconds() + seconds, call)

    def _forget(self, name: str) -> None:
        pending = self._pending.pop(name, None)
        if pending is not None and pending.call.active():
            pending.call.cancel()

    def _over(self, name: str) -> None:
        """The time to confirm a change has passed; a confirmation under way goes first."""
        self._turn.run(self._roll_back, name, self._pending[name])

    def _roll_back(self, name: str, pending: _Pending) -> None:
        if self._pending.get(name) is not pending:
            return
        self.counters["rolled_back"] += 1
        self._forget(name)
        del self._changed[name]
        row = _row(name)
        before = self._told(row)
        try:
            self._put_in_force()
        except LocalError as error:
            # It was good once; what has changed since stands against it. A restart takes it back.
            self._log.error("{key} cannot go back: {reason}", key=name, reason=str(error))
        except Exception:  # noqa: BLE001 - nobody waits for this who could be told
            self._log.failure("{key} cannot go back", key=name)
        else:
            self._log.info(
                "{key} is {value} again instead of {before}: the change was not confirmed",
                key=name,
                value=self._told(row),
                before=before,
            )

    # Inside

    def _try(self, name: str, text: str | None) -> None:
        """Put in force, or leave everything as it is."""
        was = self._changed.copy()
        self._changed[name] = text
        try:
            self._put_in_force()
        except Exception:
            self.counters["refused"] += 1
            self._changed = was
            raise

    def _put_in_force(self) -> frozenset[str]:
        """Make the configuration what the entries say; the names of what is different. All or nothing."""
        old, new = self.config, self.config.with_layers(self._layers())
        changed = frozenset(
            row.full_name for row in keys() if _value(old.settings, row) != _value(new.settings, row)
        )
        told: list[_Subscription] = []
        self.config = new
        try:
            for subscription in self._subscriptions:
                if subscription.keys & changed:
                    subscription.tell(new)
                    told.append(subscription)
        except Exception:
            self.config = old
            for subscription in told:
                subscription.tell(old)
            raise
        return changed

    def _layers(self) -> Layers:
        untouched = {name: entry for name, entry in self._kept.items() if name not in self._changed}
        changed = [_entry(name, text) for name, text in self._changed.items() if text is not None]
        return attrs.evolve(
            self.config.layers,
            overrides=tuple(entry for name, entry in untouched.items() if name in self._early),
            changed=(
                *(entry for name, entry in untouched.items() if name not in self._early),
                *changed,
            ),
        )

    def _layers_after_restart(self) -> Layers:
        return attrs.evolve(self.config.layers, overrides=tuple(self._kept.values()), changed=())

    def _told(self, row: Key) -> str:
        """The value in force, for the log: what is secret is concealed."""
        return row.kind.tell(_value(self.config.settings, row)) or "empty"


def _name(entry: Entry) -> str:
    return f"{entry.section}.{entry.key}"


def _entry(name: str, text: str) -> Entry:
    section, _, key = name.partition(".")
    return Entry(section, key, text, UNCONFIRMED)


def _row(name: str) -> Key:
    for row in keys():
        if row.full_name == name:
            return row
    raise _unknown(name)


def _unknown(name: str) -> UnknownKey:
    return UnknownKey(f"there is no key {name[:64]}.", nearest(name[:64], [row.full_name for row in keys()]))


def _live(name: str) -> Key:
    row = _row(name)
    if not row.live:
        raise NotLive(
            f"{name} cannot be changed while the node runs.",
            "Set it in the configuration file and restart; getconfig marks the keys that need none.",
        )
    return row


def _checked(row: Key, text: str) -> str:
    """The text as the file will have it; ConfigError as for a line of a file."""
    try:
        return row.kind.show(row.kind.parse(text))
    except ValueError as error:
        raise ConfigError(f"{row.full_name} {error}.", f"It is a {row.kind.name}.") from None


def _value(settings: Settings, row: Key) -> Any:
    return getattr(getattr(settings, row.section), row.name)

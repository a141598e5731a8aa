"""The storm: which fault comes when, by the seed, and what an observer sees in the ledger meanwhile."""

import random
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

from media_assets_tests.torture.fault_proxy import FAULTS, FaultProxy
from media_assets_tests.torture.product import TARGETS, Product, fill_disk, read_ledger

# Once or twice in three minutes everything at once; workers and decoders more often than what starts slowly.
_WEIGHTS = {"daemon": 2, "code server": 2, "run worker": 5, "decoder": 4, "service": 1}
_OBSERVE_S = 0.5


class Observer(threading.Thread):
    """Notes which results the ledger has, again and again: what was seen here may not be made once more."""

    def __init__(self, state: Path) -> None:
        super().__init__(name="observer", daemon=True)
        self.recorded: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.looks = 0
        self._state = state
        self._ended = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self._ended.wait(_OBSERVE_S):
            self.look()

    def look(self) -> None:
        """Look once."""
        rows = read_ledger(
            self._state,
            "SELECT media_id, input_version, run_id FROM ma_outcome "
            "WHERE asset = 'original' AND input_version IS NOT NULL AND state IN ('materialized', 'rejected')",
        )
        self.looks += bool(rows)
        for media_id, input_version, run_id in rows:
            self.recorded[str(media_id), str(input_version)].add(str(run_id))

    def stop(self) -> None:
        """Look a last time."""
        self._ended.set()
        self.join()
        self.look()


class Storm:
    """Injects faults until a deadline, and keeps the service running meanwhile."""

    def __init__(self, product: Product, proxy: FaultProxy, seed: int, *, fills_disk: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._product, self._proxy, self._fills_disk = product, proxy, fills_disk
        self._rng = random.Random(f"storm-{seed}")

    def rage(self, seconds: float) -> None:
        """Return after ``seconds``, with every fault ended and the service started."""
        deadline = time.monotonic() + seconds
        threads = [
            threading.Thread(target=work, args=(deadline,), daemon=True)
            for work in (self._kill, self._disturb, *([self._fill] if self._fills_disk else []))
        ]
        for thread in threads:
            thread.start()
        while time.monotonic() < deadline:
            self._product.ensure_running()
            time.sleep(0.5)
        for thread in threads:
            thread.join()
        self._proxy.misbehave("none")
        self._product.ensure_running()

    def _pause(self, mean_s: float, deadline: float) -> bool:
        time.sleep(max(0.0, min(self._rng.uniform(0.4, 1.6) * mean_s, deadline - time.monotonic())))
        return time.monotonic() < deadline

    def _kill(self, deadline: float) -> None:
        targets = [target for target in TARGETS for _ in range(_WEIGHTS[target])]
        while self._pause(9.0, deadline):
            target = self._rng.choice(targets)
            waited = time.monotonic() + 10
            # A run worker or a decoder is there only while something is done.
            while not self._product.kill(target, self._rng) and time.monotonic() < min(waited, deadline):
                time.sleep(0.2)

    def _disturb(self, deadline: float) -> None:
        while self._pause(7.0, deadline):
            fault = self._rng.choice(FAULTS)
            self.counts[f"server: {fault}"] += 1
            self._proxy.misbehave(fault)
            time.sleep(min(self._rng.uniform(1.0, 5.0), max(0.0, deadline - time.monotonic())))
            self._proxy.misbehave("none")

    def _fill(self, deadline: float) -> None:
        while self._pause(60.0, deadline):
            self.counts["disk full"] += 1
            fill_disk(self._product.state, min(self._rng.uniform(4.0, 9.0), max(0.5, deadline - time.monotonic())))

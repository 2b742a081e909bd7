"""Batches on two workers: bad sessions stop nobody, a killed worker loses nothing, a second run does what is left."""

import csv
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import psutil
import pynwb
import pytest
from click.testing import CliRunner

from scanimage_nwb.batch import BatchOptions, ClusterOptions, Outcome, find_sessions, format_summary, run_batch
from scanimage_nwb.batch import cluster as cluster_module
from scanimage_nwb.batch.cluster import divide, open_client, slurm_cluster
from scanimage_nwb.batch.jobs import jobs_of, plan_job
from scanimage_nwb.cli import main
from scanimage_nwb.errors import ScanImageNwbError
from scanimage_nwb.nwb import verify_nwbfile
from scanimage_nwb.testing import write_scanimage_recording

pytest.importorskip("distributed")

TWO = ClusterOptions(workers=2)
PARTIAL = re.compile(r"\..+\.\D.*-(\d+)-\d+\.partial\.nwb")


def write_session(folder: Path, sex: str = "F", **recording: object) -> Path:
    """Write a recording and its session file."""
    write_scanimage_recording(folder, name="run_00001", **recording)  # type: ignore[arg-type]
    text = "timezone: UTC\nrecordings: {name: run, files: run_00001.tif}\n"
    text += f'metadata:\n  NWBFile: {{session_id: "{folder.name}"}}\n  Subject: {{subject_id: m1, sex: {sex}}}\n'
    (folder / "session.yaml").write_text(text)
    return folder


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.session: outcome.status for outcome in outcomes}


def is_whole(path: Path) -> bool:
    with pynwb.NWBHDF5IO(path, "r") as io:
        return bool(io.read().acquisition)


def test_bad_sessions_and_second_run(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for name in ("good1", "good2"):
        write_session(root / "m1" / name)
    corrupt = write_session(root / "m1" / "corrupt") / "run_00001.tif"
    whole = corrupt.read_bytes()
    corrupt.write_bytes(whole[:100])
    wrong = write_session(root / "m1" / "wrong", sex="male")
    result = CliRunner().invoke(main, ["batch", str(root), "-o", str(out), "--workers", "2", "--verify"])
    assert result.exit_code == 1, result.output
    assert "4 sessions: 2 converted, 0 up to date, 2 failed" in result.stdout
    files = {name: out / "sub-m1" / f"sub-m1_ses-{name}_ophys.nwb" for name in ("good1", "good2", "corrupt", "wrong")}
    assert [path.exists() for path in files.values()] == [True, True, False, False]
    for name in ("good1", "good2"):
        checks = verify_nwbfile(files[name], [root / "m1" / name / "run_00001.tif"])
        assert [check.difference for check in checks] == [None]
    errors = {path.name: path.read_text() for path in out.glob("ERROR_*")}
    assert set(errors) == {"ERROR_m1__corrupt.txt", "ERROR_m1__wrong.txt"}
    assert all("Traceback (most recent call last)" in text for text in errors.values())
    assert "session.yaml, line 5: metadata.Subject.sex is 'male'; expected M, F" in errors["ERROR_m1__wrong.txt"]
    assert "run_00001.tif" in errors["ERROR_m1__corrupt.txt"].partition("Traceback")[0]
    with (out / "summary.csv").open() as file:
        lines = {line["session"]: line for line in csv.DictReader(file)}
    assert {name: (line["status"], line["n_verified"]) for name, line in lines.items()} == {
        "m1__corrupt": ("failed", "0"),
        "m1__good1": ("converted", "1"),
        "m1__good2": ("converted", "1"),
        "m1__wrong": ("failed", "0"),
    }
    before = {name: files[name].stat().st_mtime_ns for name in ("good1", "good2")}

    corrupt.write_bytes(whole)
    write_session(wrong)
    outcomes = run_batch(root, out, options=BatchOptions(verify=True), cluster=TWO)
    assert statuses(outcomes) == {
        "m1__corrupt": "converted",
        "m1__good1": "up to date",
        "m1__good2": "up to date",
        "m1__wrong": "converted",
    }
    assert not list(out.glob("ERROR_*"))
    assert {name: files[name].stat().st_mtime_ns for name in before} == before
    assert all(is_whole(path) for path in files.values())


def kill_one_that_writes(out: Path, killed: list[int]) -> None:
    """Kill the first worker that is seen writing an NWB file."""
    own = {os.getpid()}
    end = time.monotonic() + 60
    while not killed and time.monotonic() < end:
        for path in out.glob(".*.partial.nwb"):
            match = PARTIAL.fullmatch(path.name)
            pid = int(match[1]) if match else 0
            children = {child.pid for child in psutil.Process().children(recursive=True)}
            if pid in children - own:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return
        time.sleep(0.002)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_killed_worker_loses_nothing(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for name in ("a", "b", "c"):
        write_scanimage_recording(root / name, n_volumes=150, shape=(256, 256), keep_pages=False)
    out.mkdir()
    killed: list[int] = []
    watcher = threading.Thread(target=kill_one_that_writes, args=(out, killed))
    watcher.start()
    outcomes = run_batch(root, out, options=BatchOptions(timezone="UTC", verify=True), cluster=TWO)
    watcher.join()
    assert len(killed) == 1, "no worker was seen writing"
    assert statuses(outcomes) == dict.fromkeys("abc", "converted")
    assert [outcome.n_verified for outcome in outcomes] == [1, 1, 1]
    visible = sorted(path.name for path in out.iterdir())
    assert visible == [".scanimage-nwb", "a.nwb", "b.nwb", "c.nwb", "summary.csv"]
    assert all(is_whole(out / f"{name}.nwb") for name in "abc")


def test_what_makes_a_file_old(tmp_path: Path) -> None:
    """Planned without workers: sources, session file, options, version, and the file itself count."""
    root, out = tmp_path / "root", tmp_path / "out"
    session = write_session(root / "s")
    (outcome,) = run_batch(root, out, cluster=ClusterOptions(workers=1))
    assert outcome.status == "converted"
    record = out / ".scanimage-nwb" / "s.json"

    def is_current(**options: object) -> bool:
        (job,) = jobs_of(root, [session], out, BatchOptions(**options))  # type: ignore[arg-type]
        return plan_job(job).is_current

    assert is_current()
    assert is_current(overwrite=True)
    assert not is_current(stub_test=True)
    text = record.read_text()
    record.write_text(text.replace('"version": "', '"version": "0.'))
    assert not is_current()
    record.write_text("{")
    assert not is_current()
    record.write_text(text)
    assert is_current()
    (session / "metadata.yaml").write_text("NWBFile: {lab: L}\n")
    assert not is_current()
    (session / "metadata.yaml").unlink()
    os.utime(session / "run_00001.tif", ns=(1, 1))
    assert not is_current()
    output = out / outcome.output
    output.unlink()
    assert not is_current()
    assert json.loads(text)["output"] == outcome.output


@pytest.mark.parametrize("section", ["registration", "rois", "sync"])
def test_what_lies_beside_a_recording_counts(tmp_path: Path, section: str) -> None:
    session = write_session(tmp_path / "root" / "s")
    (session / "product").mkdir()
    (session / "product" / "part.npy").write_text("1")
    with (session / "session.yaml").open("a") as file:
        file.write(f"{section}: {{file: product}}\n")
    (job,) = jobs_of(tmp_path / "root", [session], tmp_path / "out", BatchOptions())
    before = plan_job(job).fingerprint
    (session / "product" / "part.npy").write_text("12")
    after = plan_job(job).fingerprint
    assert {name for name in before if before[name] != after[name]} == {"sources"}


def test_two_sessions_of_one_name_and_a_file_of_others(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for mouse in ("x", "y"):
        write_session(root / mouse / "day1")
    write_session(root / "z" / "day2")
    theirs = out / "sub-m1" / "sub-m1_ses-day2_ophys.nwb"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    outcomes = run_batch(root, out, cluster=ClusterOptions(workers=1))
    assert set(statuses(outcomes).values()) == {"failed"}
    assert "would be the file of y__day1 too; give each session a session_id" in outcomes[0].message
    assert "is there already, and not of an earlier batch" in outcomes[2].message
    assert theirs.read_text() == "mine"


def test_damaged_file_of_a_folder_without_session_file(tmp_path: Path) -> None:
    """Nobody said that it may be left out."""
    folder = tmp_path / "s"
    write_scanimage_recording(folder, name="good_00001")
    (folder / "bad_00001.tif").write_bytes(b"II+\0")
    (job,) = jobs_of(tmp_path, [folder], tmp_path / "out", BatchOptions())
    with pytest.raises(ScanImageNwbError, match=r"bad_00001\.tif belongs to no recording"):
        plan_job(job)


def test_finding_sessions(tmp_path: Path) -> None:
    for name in ("m1/a", "m1/b", "m2/c", ".hidden/d", "out/e"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.tif").write_text("")
    (tmp_path / "m1/a/suite2p/reg_tif").mkdir(parents=True)
    (tmp_path / "m1/a/suite2p/reg_tif/file000.tif").write_text("")
    (tmp_path / "m3").mkdir()
    (tmp_path / "m3" / "session.yaml").write_text("")
    found = find_sessions(tmp_path, but_not=tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["m1/a", "m1/b", "m2/c", "m3"]
    assert [path.name for path in find_sessions(tmp_path, "m1/b*")] == ["b"]
    assert find_sessions(tmp_path / "m1" / "a") == [tmp_path / "m1" / "a"]
    with pytest.raises(FileNotFoundError, match="holds no session at m9"):
        find_sessions(tmp_path, "m9")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        find_sessions(tmp_path / "nowhere")
    keys = [job.key for job in jobs_of(tmp_path, [tmp_path / "a" / "b", tmp_path / "a__b"], tmp_path, BatchOptions())]
    assert len(set(keys)) == 2
    assert all(key.startswith("a__b__") for key in keys)


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("gigabytes", [1, 8, 256])
@pytest.mark.parametrize("n_sessions", [1, 5, 500])
def test_threads_never_outnumber_cores(cores: int, gigabytes: int, n_sessions: int) -> None:
    workers, threads = divide(n_sessions, cores, gigabytes << 30, None, None)
    assert workers >= 1
    assert threads >= 1
    assert workers * threads <= cores
    assert workers <= n_sessions
    assert workers == 1 or (gigabytes << 30) / workers >= 2 << 30


def test_existing_scheduler(tmp_path: Path) -> None:
    from distributed import LocalCluster

    write_session(tmp_path / "root" / "s")
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        (outcome,) = run_batch(tmp_path / "root", tmp_path / "out", cluster=ClusterOptions(scheduler=address))
        with open_client(ClusterOptions(scheduler=address), 1) as (_, threads):
            assert threads == len(os.sched_getaffinity(0))
    assert outcome.status == "converted"


def test_slurm_jobs_hold_one_session_each() -> None:
    pytest.importorskip("dask_jobqueue")
    with slurm_cluster(ClusterOptions(memory="6GB", queue="long", account="lab"), 4) as cluster:
        script = cluster.job_script()
    for words in ("--cpus-per-task=4", "--nthreads 1", "SCANIMAGE_NWB_THREADS=4", "-p long", "-A lab", "-t 08:00:00"):
        assert words in script
    assert re.search(r"--mem=6G", script)


@pytest.mark.skipif(os.name != "posix", reason="stands in for SLURM by shell scripts")
def test_batch_through_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that starts every job at once: what is submitted, runs, and what it makes, are the real things."""
    pytest.importorskip("dask_jobqueue")
    tools, asked = tmp_path / "bin", tmp_path / "asked"
    tools.mkdir()
    for name, lines in {
        "sbatch": f'cp "$1" {asked}\nbash "$1" > /dev/null 2>&1 &\necho "Submitted batch job $!"',
        "scancel": 'kill "$@"',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    session = write_session(tmp_path / "root" / "s")
    cluster = ClusterOptions(slurm=True, workers=1, threads=1, memory="2GB", queue="long")
    (outcome,) = run_batch(tmp_path / "root", tmp_path / "out", options=BatchOptions(verify=True), cluster=cluster)
    assert (outcome.status, outcome.n_verified) == ("converted", 1)
    assert "#SBATCH -p long" in asked.read_text()
    (check,) = verify_nwbfile(tmp_path / "out" / outcome.output, [session / "run_00001.tif"])
    assert check.difference is None


def test_pages_beside_the_files(tmp_path: Path) -> None:
    """A page that is missing is written without converting again."""
    write_session(tmp_path / "root" / "s", n_volumes=20)
    arguments = ["batch", str(tmp_path / "root"), "-o", str(tmp_path / "out"), "--workers", "1"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    path = tmp_path / "out" / "sub-m1" / "sub-m1_ses-s_ophys.nwb"
    before = path.stat().st_mtime_ns
    result = CliRunner().invoke(main, [*arguments, "--report"])
    assert "1 converted" in result.stdout, result.output
    assert "TwoPhotonSeries" in path.with_suffix(".html").read_text(encoding="utf-8")
    assert path.stat().st_mtime_ns == before
    assert "1 up to date" in CliRunner().invoke(main, [*arguments, "--report"]).stdout


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def without(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", without)
    with (
        pytest.raises(ScanImageNwbError, match=r"needs distributed; get it with: .*scanimage-nwb\[batch\]"),
        open_client(ClusterOptions(), 1),
    ):
        pass
    with pytest.raises(ScanImageNwbError, match=r"needs dask-jobqueue; .*scanimage-nwb\[slurm\]"):
        cluster_module.slurm_cluster(ClusterOptions(), 1)


def test_empty_summary() -> None:
    assert format_summary([]).endswith("0 sessions: 0 converted, 0 up to date, 0 failed")

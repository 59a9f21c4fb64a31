"""What the trainer computes, on a tiny model of the real architecture. Needs torch, which `make tune` installs."""

import contextlib
import io
import json
import os
import pathlib
import signal
import sys
import tempfile
import unittest
from unittest import mock

try:
    import gguf
    import numpy
    import torch

    import average
    import train
    from learn import adapter
    from learn.full import Full
    from learn.lessons import Pack
    from learn.llama import LINEARS, Base, Llama, Lora
except ModuleNotFoundError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from missing

WIDTH, HEADS, KV_HEADS, HIDDEN, WORDS, LAYERS = 32, 4, 2, 64, 50, 2

LESSON = {
    "prefix": [1, 5, 6, 7, 2],
    "pairs": [
        {"prompt": [1, 8, 9, 2], "answer": [10, 11, 12], "choices": [[0, [10, 13]], [2, [12, 14, 15]]]},
        {"prompt": [1, 9, 2], "answer": [13, 16], "choices": [[0, [10, 13]], [1, None]]},
    ],
}


def write_model(path):
    random = numpy.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_embedding_length(WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    kv = WIDTH // HEADS * KV_HEADS
    shapes = dict(zip(LINEARS, ((WIDTH, WIDTH), (kv, WIDTH), (kv, WIDTH), (WIDTH, WIDTH), (HIDDEN, WIDTH), (HIDDEN, WIDTH), (WIDTH, HIDDEN))))
    add = lambda name, *shape: writer.add_tensor(name, random.normal(0.0, 0.3, shape).astype(numpy.float32))
    add("token_embd.weight", WORDS, WIDTH)
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            add(f"blk.{layer}.{name}.weight", *shape)
        add(f"blk.{layer}.attn_norm.weight", WIDTH)
        add(f"blk.{layer}.ffn_norm.weight", WIDTH)
    add("output_norm.weight", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Learn(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        write_model(self.folder / "model.gguf")
        torch.manual_seed(1)
        self.base = Base(self.folder / "model.gguf")
        self.lora = Lora(self.base, 4, 4.0)
        for b in self.lora.b.values():
            torch.nn.init.normal_(b, std=0.1)
        self.model = Llama(self.base, self.lora)

    def test_each_pair_of_a_pack_sees_what_it_would_see_alone(self):
        together = Pack(LESSON)
        hidden = self.model.hidden(together)[together.at]
        alone = []
        for pair in LESSON["pairs"]:
            # One sequence, so that plain causal attention is what it gets.
            whole = {"prefix": LESSON["prefix"] + pair["prompt"] + pair["answer"][:-1], "pairs": [{"prompt": [1], "answer": [2], "choices": []}]}
            states = self.model.hidden(Pack(whole))
            start = len(LESSON["prefix"]) + len(pair["prompt"]) - 1
            alone += [states[start + place] for place, _ in pair["choices"]]
        self.assertTrue(torch.allclose(hidden, torch.stack(alone), atol=1e-5))

    def test_bfloat16_leads_the_same_way_as_float32(self):
        gradients = []
        for dtype in (torch.float32, torch.bfloat16):
            self.lora.zero_grad()
            train.loss_of(Llama(self.base, self.lora, dtype), Pack(LESSON)).backward()
            gradients.append(torch.cat([parameter.grad.flatten() for parameter in self.lora.parameters()]))
        self.assertEqual([gradient.dtype for gradient in gradients], [torch.float32] * 2)
        self.assertGreater(torch.cosine_similarity(*gradients, dim=0).item(), 0.99)

    def test_what_the_grammar_forbids_costs_nothing_and_wins_nothing(self):
        pack = Pack(LESSON)
        logits = pack.masked(torch.zeros(4, WORDS))
        self.assertEqual([int(n) for n in torch.isfinite(logits).sum(dim=1)], [2, 3, 2, WORDS])
        for row, target in enumerate(pack.targets):
            self.assertTrue(torch.isfinite(logits[row, target]))

    def test_an_adapter_that_is_written_and_read_is_the_same(self):
        path = self.folder / "adapter.gguf"
        adapter.save(path, self.lora, {"steps": 3, "base_sha256": "ab"})
        again = Lora(self.base, 4, 4.0)
        adapter.load(path, again)
        for key, b in self.lora.b.items():
            self.assertTrue(torch.allclose(b, again.b[key], atol=1e-3))
        with self.assertRaises(SystemExit):
            adapter.load(path, Lora(self.base, 2, 2.0))

    def test_an_adapter_that_grows_says_what_it_said_and_may_then_learn_more(self):
        path, pack = self.folder / "adapter.gguf", Pack(LESSON)
        adapter.save(path, self.lora, {})
        wide = Lora(self.base, 4, 4.0, 8)
        adapter.load(path, wide)
        logits = lambda lora: self.model.logits(Llama(self.base, lora).hidden(pack)[pack.at])
        self.assertTrue(torch.allclose(logits(self.lora), logits(wide), atol=1e-2))
        for name, b in wide.b.items():
            if "ffn" in name:
                torch.nn.init.normal_(b, std=0.1)
        adapter.save(path, wide, {})
        self.assertEqual(adapter.ranks(path), (4, 8))
        again = Lora(self.base, 4, 4.0, 8)
        adapter.load(path, again)
        self.assertTrue(torch.allclose(logits(wide), logits(again), atol=1e-2))
        # llama.cpp's scale of each layer is alpha over the rank of its own factors.
        stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}["blk.0.ffn_up.weight.lora_b"]
        halved = torch.from_numpy(gguf.dequantize(stored.data, stored.tensor_type).copy()) * (4.0 / 8)
        self.assertTrue(torch.allclose(halved, wide.b["0/ffn_up"], atol=1e-3))

    def test_all_weights_begin_as_the_adapter_has_them_and_the_nearest_adapter_is_that_one(self):
        pack = Pack(LESSON)
        logits = lambda learnt: self.model.logits(Llama(self.base, learnt).hidden(pack)[pack.at])
        full = Full(self.base, self.lora)
        self.assertTrue(torch.allclose(logits(full), logits(self.lora), atol=1e-4))
        self.assertTrue(torch.allclose(logits(full.nearest(4, None)), logits(full), atol=1e-3))
        self.assertTrue(torch.allclose(logits(full.nearest(8, 16)), logits(full), atol=1e-3), "more than it has is no harm")
        train.loss_of(Llama(self.base, full), pack).backward()
        self.assertEqual(len([weights for weights in full.parameters() if weights.grad.abs().max() > 0]), LAYERS * len(LINEARS))

    def test_no_adapter_of_a_rank_is_nearer_than_the_nearest(self):
        full = Full(self.base, self.lora)
        with torch.no_grad():
            for weights in full.parameters():
                weights.add_(torch.randn_like(weights), alpha=0.01)
        for key, weights in full.weights.items():
            change = weights.detach() - self.base.linear(int(key[0]), key[2:])
            nearest = full.nearest(2, 3)
            own = 3 if "ffn" in key else 2
            self.assertEqual(nearest.a[key].shape[0], own)
            rest = torch.linalg.svdvals(change)[own:]
            self.assertAlmostEqual((change - nearest.change(key)).norm().item(), rest.norm().item(), places=4)

    def test_an_average_lies_between_two_adapters_though_one_of_them_has_grown(self):
        torch.nn.init.normal_(self.lora.a["0/ffn_up"])
        path, pack = self.folder / "adapter.gguf", Pack(LESSON)
        adapter.save(path, self.lora, {})
        first, second, mean = (Lora(self.base, 4, 4.0, 8) for _ in range(3))
        adapter.load(path, first)
        for b in second.b.values():
            torch.nn.init.normal_(b, std=0.1)
        logits = lambda lora: self.model.logits(Llama(self.base, lora).hidden(pack)[pack.at])
        for share, end in ((0.0, first), (1.0, second)):
            mean.load_state_dict(average.between(first, second, share))
            self.assertTrue(torch.allclose(logits(mean), logits(end), atol=1e-4))
        mean.load_state_dict(average.between(first, second, 0.25))
        self.assertTrue(torch.allclose(mean.b["0/ffn_up"], 0.75 * first.b["0/ffn_up"] + 0.25 * second.b["0/ffn_up"], atol=1e-6))
        # What had no part in the first one is not weakened in its A as well.
        self.assertTrue(torch.equal(mean.a["0/ffn_up"][4:], second.a["0/ffn_up"][4:]))

    def test_an_average_says_of_what_runs_it_is_made_and_what_its_examination_gave(self):
        paths = [str(self.folder / name) for name in ("first.gguf", "second.gguf", "mean.gguf", "mean of it.gguf")]
        for seed, path in enumerate(paths[:2]):
            adapter.save(path, self.lora, {"seed": seed, "steps": 7})
        exam, exact = self.folder / "exam.json", {"percent": 84.9, "low": 80.6, "high": 88.4, "n": 325}
        exam.write_text(json.dumps({"settings": {}, "sets": {"unseen": {"exact": exact, "ms": {"p50": 1}}}}), encoding="utf-8")
        for first, second, out in (paths[:3], paths[1:]):
            arguments = ["average.py", "--model", str(self.folder / "model.gguf"), first, second, "--out", out, "--exam", str(exam)]
            with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(io.StringIO()):
                average.main()
        second, mean = json.loads(adapter.told(paths[3])["average_of"])
        self.assertEqual((second["sha256"], second["seed"], second["steps"]), (average.digest(paths[1]), 1, 7))
        self.assertEqual([run["seed"] for run in json.loads(mean["average_of"])], [0, 1])
        self.assertEqual(json.loads(adapter.told(paths[3])["exam"]), {"unseen": exact})

    def run_training(self, out, steps, *more):
        lessons = self.folder / "lessons.jsonl"
        lessons.write_text("".join(json.dumps(LESSON) + "\n" for _ in range(3)), encoding="utf-8")
        arguments = ["train.py", "--model", self.folder / "model.gguf", "--lessons", lessons, "--check", lessons, "--out", self.folder / out]
        arguments += ["--steps", steps, "--rank", 4, "--warmup", 0, "--decay", 0, "--every", 2, "--rate", 0.02, *more]
        with mock.patch.object(sys, "argv", [str(argument) for argument in arguments]), contextlib.redirect_stdout(io.StringIO()):
            train.main()
        return [json.loads(line) for line in (self.folder / out / "log.jsonl").read_text("utf-8").splitlines()]

    def test_a_run_that_is_taken_up_again_goes_on_as_if_it_had_not_stopped(self):
        whole = self.run_training("whole", 6)
        self.run_training("parts", 2)
        parts = self.run_training("parts", 6)
        self.assertAlmostEqual(whole[-1]["check_loss"], parts[-1]["check_loss"], places=4)
        self.assertLess(whole[-1]["check_loss"], whole[0]["check_loss"])

    def test_a_run_that_is_told_to_stop_keeps_the_step_that_it_was_at(self):
        whole, learn = self.run_training("whole", 8), train.Run.learn

        def told(run):
            learn(run)
            if run.step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        with mock.patch.object(train.Run, "learn", told), self.assertRaises(SystemExit) as ended:
            self.run_training("parts", 8)
        self.assertEqual(ended.exception.code, train.STOPPED)
        self.assertEqual(torch.load(self.folder / "parts" / "checkpoint.pt", weights_only=True)["step"], 3)
        parts = self.run_training("parts", 8)
        self.assertEqual([line["step"] for line in parts], [2, 4, 6, 8])
        self.assertAlmostEqual(whole[-1]["check_loss"], parts[-1]["check_loss"], places=4)

    def test_what_is_checked_and_written_is_the_average_and_what_goes_on_learning_is_not(self):
        for average, is_last in ((0.0, True), (0.9, False)):
            out = f"run-{is_last}"
            self.run_training(out, 12, "--average", average)
            state = torch.load(self.folder / out / "checkpoint.pt", weights_only=True)
            written = Lora(self.base, 4, 4.0)
            adapter.load(self.folder / out / "adapter.gguf", written)
            key = next(key for key in state["lora"] if key.startswith("b."))
            self.assertTrue(torch.allclose(written.state_dict()[key], state["average"][key], atol=1e-3))
            self.assertEqual(torch.equal(state["lora"][key], state["average"][key]), is_last)

    def test_it_learns_what_it_is_taught(self):
        log = self.run_training("run", 60)
        self.assertEqual(log[-1]["check_exact"], 1.0)

    def test_all_weights_learn_it_too_and_are_taken_up_again_and_an_adapter_is_written(self):
        self.run_training("full", 20, "--full", "--rate", 0.005)
        log = self.run_training("full", 40, "--full", "--rate", 0.005)
        self.assertEqual(([line["step"] for line in log], log[-1]["check_exact"]), (list(range(2, 42, 2)), 1.0))
        written = str(self.folder / "full" / "adapter.gguf")
        self.assertEqual(adapter.ranks(written), (4, 4))
        # Between what it began with, which changes nothing, and its end lie weights.
        begin, end = str(self.folder / "begin.gguf"), Lora(self.base, 4, 4.0)
        adapter.save(begin, Lora(self.base, 4, 4.0), {})
        adapter.load(written, end)
        at = average.on_the_way(self.base, begin, str(self.folder / "full" / "checkpoint.pt"))
        for share in (0.0, 0.5, 1.0):
            for key in end.a:
                change = end.change(key)
                far = (at(share).change(key) - share * change).norm()
                self.assertLess(far, 0.02 * change.norm(), (share, key))
        self.assertEqual(average.origin(str(self.folder / "full" / "checkpoint.pt"))["steps"], 40)


if __name__ == "__main__":
    unittest.main()

"""Key files are private, written once, and secrets show up nowhere."""

from __future__ import annotations

import os
import pickle

from twisted.trial.unittest import SynchronousTestCase

from timed.crypto import rule
from timed.crypto.keys import KEY_FILE_MAX, SigningKey, create_key_file, generate, load_key_file
from timed.errors import LocalError

SEED = bytes(range(100, 132))


def entropy(size):
    return SEED[:size]


class SigningKeyTests(SynchronousTestCase):
    def test_signs_what_its_public_half_verifies(self):
        key = generate(entropy)
        self.assertEqual(key.seed, SEED)
        self.assertTrue(rule.verify(key.public, b"m", key.sign(b"m")))

    def test_no_text_of_a_key_holds_its_seed(self):
        key = SigningKey.from_seed(SEED)
        for text in (repr(key), str(key), f"{key}", f"{key!r}", repr([key])):
            self.assertNotIn(SEED.hex(), text)
            self.assertNotIn(repr(SEED), text)
            self.assertIn(key.public.hex(), text)

    def test_a_key_is_not_pickled(self):
        self.assertRaises(LocalError, pickle.dumps, SigningKey.from_seed(SEED))

    def test_keys_are_equal_by_their_public_half(self):
        self.assertEqual(SigningKey.from_seed(SEED), SigningKey.from_seed(SEED))
        self.assertEqual(len({SigningKey.from_seed(SEED), SigningKey.from_seed(SEED)}), 1)
        self.assertNotEqual(SigningKey.from_seed(SEED), SigningKey.from_seed(bytes(32)))
        self.assertNotEqual(SigningKey.from_seed(SEED), SEED)

    def test_a_seed_has_32_bytes(self):
        for size in (0, 31, 33, 64):
            self.assertRaises(LocalError, SigningKey.from_seed, bytes(size))


class KeyFileTests(SynchronousTestCase):
    def setUp(self):
        directory = self.mktemp()
        os.makedirs(directory)
        self.path = os.path.join(directory, "node.key")

    def write(self, text, mode=0o600):
        with open(self.path, "wb") as file:
            file.write(text)
        os.chmod(self.path, mode)

    def refusal(self):
        """The text of the LocalError that loading raises."""
        return str(self.assertRaises(LocalError, load_key_file, self.path))

    def test_what_was_created_loads(self):
        key = create_key_file(self.path, entropy)
        loaded = load_key_file(self.path)
        self.assertEqual((loaded.seed, loaded.public), (SEED, key.public))

    def test_a_new_file_is_private_whatever_the_umask(self):
        self.addCleanup(os.umask, os.umask(0))
        for mask in (0, 0o777):
            os.umask(mask)
            create_key_file(f"{self.path}.{mask}", entropy)
            self.assertEqual(os.stat(f"{self.path}.{mask}").st_mode & 0o777, 0o600)

    def test_a_new_file_and_its_name_are_durable_before_it_is_used(self):
        """A key that a power cut takes along is a member or a wallet lost."""
        synced = []

        def fsync(descriptor):
            synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

        self.patch(os, "fsync", fsync)
        create_key_file(self.path, entropy)
        file, directory = os.stat(self.path), os.stat(os.path.dirname(self.path))
        self.assertEqual(synced[0], (file.st_ino, file.st_size), "with all of its bytes")
        self.assertEqual([inode for inode, _ in synced[1:]], [directory.st_ino])

    def test_an_existing_file_is_never_overwritten(self):
        self.write(b"precious")
        self.assertRaises(LocalError, create_key_file, self.path, entropy)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), b"precious")

    def test_a_directory_that_is_not_there_is_named(self):
        error = self.assertRaises(LocalError, create_key_file, self.path + "/x", entropy)
        self.assertIn(self.path, str(error))

    def test_a_file_others_may_open_is_refused_with_the_command_that_mends_it(self):
        for mode in (0o640, 0o604, 0o620, 0o601, 0o644, 0o666):
            self.write(SEED.hex().encode(), mode)
            self.assertIn(f"chmod 600 {self.path}", self.refusal())

    def test_malformed_files_are_refused_without_their_content(self):
        seed = SEED.hex().encode()
        for text in (b"", b"# only a comment\n", seed[:-1], seed + b"0", seed + b"\n" + seed, b"zz" * 32, b"ab " * 20 + b"abab",
                     b"\xff" * 64, b"\xc2\xb2" * 32, bytes(64), b"#" * 5000 + b"\n" + seed):  # fmt: skip
            self.write(text)
            refusal = self.refusal()
            self.assertIn(self.path, refusal)
            self.assertNotIn(SEED.hex()[:-1], refusal)

    def test_comments_blank_lines_and_case_do_not_matter(self):
        self.write(b"# mine\r\n\r\n  " + SEED.hex().upper().encode() + b"  \r\n# end\n")
        self.assertEqual(load_key_file(self.path).seed, SEED)

    def test_a_file_may_have_so_many_bytes_and_not_one_more(self):
        line = b"\n" + SEED.hex().encode()
        for size, works in ((KEY_FILE_MAX, True), (KEY_FILE_MAX + 1, False)):
            self.write(b"#" * (size - len(line)) + line)
            if works:
                self.assertEqual(load_key_file(self.path).seed, SEED)
            else:
                self.assertIn("does not hold exactly one seed", self.refusal())

    def test_a_missing_file_is_named(self):
        self.assertIn(self.path, self.refusal())

    def test_a_directory_or_a_pipe_is_refused_at_once(self):
        os.mkfifo(self.path, 0o600)
        self.assertIn("not a regular file", self.refusal())
        os.remove(self.path)
        os.mkdir(self.path, 0o700)
        self.assertIn(self.path, self.refusal())

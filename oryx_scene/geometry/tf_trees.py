"""One tree of transforms per TF namespace: robots of one recording may use the same frame names."""

from __future__ import annotations

from oryx_scene.geometry.tf_buffer import TransformBuffer


def tf_namespace(topic: str) -> str:
    """The namespace of a TF topic: "/robot1/tf" and "/robot1/tf_static" give "/robot1".

    A topic of another name ("/tf_truth") is a namespace of its own: it may contradict /tf.
    """
    head, _, name = topic.rstrip("/").rpartition("/")
    return head if name in ("tf", "tf_static") else topic


class TransformTrees:
    """The trees of several TF topics, seen from one camera at a time.

    Args:
        root: the tree of /tf and /tf_static.
    """

    def __init__(self, root: TransformBuffer) -> None:
        self._trees = {"": root}

    def tree(self, namespace: str) -> TransformBuffer:
        """The tree of a namespace, "" for /tf; made where there is none yet."""
        return self._trees.setdefault(namespace, TransformBuffer())

    def seen_from(self, topic: str) -> tuple[TransformBuffer, tuple[str, ...]]:
        """The transforms that hold for a camera, by its picture topic.

        Its own tree is that of the longest common namespace, then come the ones above it, up to
        /tf. A camera that has none of them takes all others. Trees that contradict each other are
        never joined: where the camera has a tree of its own it is left alone, else nothing is
        known.

        Returns:
            (transforms, namespaces that contradict each other).
        """
        known = {name: tree for name, tree in self._trees.items() if tree.known_frames()}
        above = sorted((name for name in known if _is_above(name, topic)), key=len, reverse=True)
        if above:
            joined = known[above[0]]
            for name in above[1:]:
                # Another robot's /tf above a namespaced one says nothing about this camera.
                if not joined.contradicts(known[name]):
                    joined = joined.joined(known[name])
            return joined, ()
        others = list(known.items())
        if not others:
            return self._trees[""], ()
        joined = others[0][1]
        for _, tree in others[1:]:
            if joined.contradicts(tree):
                return TransformBuffer(), tuple(sorted(known))
            joined = joined.joined(tree)
        return joined, ()


def _is_above(namespace: str, topic: str) -> bool:
    return not namespace or topic.startswith(f"{namespace}/")

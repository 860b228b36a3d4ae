"""Warnings as records: what was missing, doubtful or degraded, where, and what to do about it.

Severity, meaning and advice belong to the code and stand once, in :data:`KINDS`; the text says what
happened this time. docs/warnings.md is made from the table. Nothing here imports anything but the
standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["note", "warning", "problem"]


class Kind(NamedTuple):
    """What all warnings of one code have in common.

    Attributes:
        severity: "note" changes no answer, "warning" may, "problem" prevents answers or 3D places.
        meaning: one sentence.
        advice: what the user can do; one sentence.
    """

    severity: Severity
    meaning: str
    advice: str


KINDS: dict[str, Kind] = {
    "answer_contradicts_measurement": Kind(
        "warning",
        "The answer states something that the measured geometry contradicts.",
        "trust the measured relations, which stand beside the answer",
    ),
    "answer_differs_from_score": Kind(
        "warning",
        "The model's own words and the scored answer differ.",
        "treat the answer as unsure, or ask more simply",
    ),
    "answer_empty": Kind(
        "warning",
        "The model's answer is empty.",
        "ask in other words",
    ),
    "answer_improbable": Kind(
        "warning",
        "The allowed answers have almost no probability: the model would have said something else.",
        "allow other answers, or ask without a format",
    ),
    "answer_limited_by_context": Kind(
        "note",
        "The model's context leaves fewer tokens for the answer than were allowed.",
        "ask with fewer views or a stronger compression",
    ),
    "answer_not_in_format": Kind(
        "warning",
        "The answer holds nothing of the kind that its format asks for.",
        "ask a question that can be answered in this format, or ask for text",
    ),
    "answer_not_scored": Kind(
        "warning",
        "An answer of a fixed form was read from text instead of being scored.",
        "use an answerer that scores; the confidence is not known here",
    ),
    "answer_unfinished": Kind(
        "warning",
        "The answer ended before it was complete, so it was not scored.",
        "allow more tokens or time (max_new_tokens, timeout)",
    ),
    "answer_without_choice": Kind(
        "warning",
        "The answer names none, or more than one, of the choices.",
        "ask with fewer or clearer choices",
    ),
    "answer_without_json": Kind(
        "warning",
        "The answer holds no JSON.",
        "allow more tokens, or install the extra 'json', which keeps answers to a schema",
    ),
    "answer_without_mark": Kind(
        "warning",
        "The answer names no mark.",
        "look at the marked views: the object may have no number",
    ),
    "answer_without_verdict": Kind(
        "warning",
        "The answer says neither yes nor no.",
        "ask a question that can be answered with yes or no",
    ),
    "answered_from_memory": Kind(
        "note",
        "The answer is from rows of the robot's memory, not from what the cameras see now.",
        "the rows are in the answer's JSON; ask where a thing is to have the cameras looked at",
    ),
    "attention_sums_rounded": Kind(
        "warning",
        "Sums of attention are rounded to half precision; a newer torch may answer differently.",
        "install torch 2.8 or newer, or use --dtype float32",
    ),
    "calibration_doubtful": Kind(
        "note",
        "A calibration is possible and looks odd.",
        "check the calibration",
    ),
    "calibration_of_other_size": Kind(
        "problem",
        "A calibration belongs to another image size than the picture's.",
        "publish the camera_info of this resolution, or give a rig file (--rig)",
    ),
    "calibration_scaled": Kind(
        "warning",
        "A camera matrix fits the depth image's size and was scaled to the picture.",
        "write the matrix of the picture's size, with its width and height",
    ),
    "calibration_unusable": Kind(
        "problem",
        "A calibration cannot be right, so it was left out.",
        "calibrate the camera again, or give a rig file (--rig)",
    ),
    "camera_late": Kind(
        "warning",
        "A camera has had no frame for longer than allowed and was left out.",
        "check the camera's driver, or allow older frames (views.max_age_s)",
    ),
    "camera_left_out": Kind(
        "warning",
        "The node answered without a camera.",
        "see /diagnostics for that camera",
    ),
    "cameras_apart": Kind(
        "note",
        "Frames of different cameras lie far apart in time.",
        "allow a larger views.slop_s, or trigger the cameras together",
    ),
    "clock_offset": Kind(
        "warning",
        "Header stamps lie far from the recorder's: another clock, or a recording played again.",
        "no harm if pictures and TF agree; else synchronise the clocks (chrony, PTP)",
    ),
    "clocks_differ": Kind(
        "problem",
        "Cameras are stamped by different clocks.",
        "synchronise them (chrony, PTP), or stamp on arrival",
    ),
    "cloud_thinned": Kind(
        "note",
        "The point cloud was thinned to its bound.",
        "allow more points, or look at fewer frames",
    ),
    "comparison_unknown": Kind(
        "note",
        "Nothing can be said about whether some objects changed.",
        "look at their places again, from nearby and with depth",
    ),
    "comparison_without_depth": Kind(
        "problem",
        "Scenes without depth and poses cannot be compared.",
        "record depth, calibration and TF",
    ),
    "compression_raised": Kind(
        "warning",
        "The scene did not fit into memory and was asked about at a stronger compression.",
        "ask with fewer views, or set a compression that fits (oryx-scene memory)",
    ),
    "deadline_missed": Kind(
        "warning",
        "Even the smallest scene is predicted to take longer than the deadline.",
        "allow more time, or a smaller model",
    ),
    "deadline_not_planned": Kind(
        "note",
        "A deadline was asked for, and no rates of this model are known to plan with.",
        "measure them once with `oryx-scene bench`, or let the node warm up",
    ),
    "depth_empty": Kind(
        "problem",
        "A depth image holds no measurement.",
        "is the depth sensor covered or switched off?",
    ),
    "depth_implausible": Kind(
        "problem",
        "Depth is so near or far that its unit is probably another one.",
        "16UC1 means millimetres and 32FC1 metres (REP-118): the driver may mix them up",
    ),
    "depth_late": Kind(
        "warning",
        "The nearest depth image is too far away in time.",
        "record registered depth at the colour camera's rate",
    ),
    "depth_left_out": Kind(
        "problem",
        "Depth cannot be laid over the picture.",
        "record registered depth with its camera_info and TF",
    ),
    "depth_lossy": Kind(
        "warning",
        "Depth was recorded as jpeg, which changes distances.",
        "record it raw, as png or as compressedDepth",
    ),
    "depth_noisy": Kind(
        "warning",
        "Depth is too noisy to tell objects apart.",
        "check the depth sensor, or use detections",
    ),
    "depth_scaled": Kind(
        "warning",
        "Depth has another size than its picture or its calibration and was scaled.",
        "publish the camera_info of its own size, or write depth-intrinsics.txt into the folder",
    ),
    "depth_unused": Kind(
        "warning",
        "A depth image belongs to no camera, as far as names and frames tell.",
        "give a rig file with depth_topic for its camera (--rig), or record its camera_info",
    ),
    "detections_missing": Kind(
        "warning",
        "No detections belong to a view.",
        "check the detector's topic, stamps and frame_id",
    ),
    "detections_unused": Kind(
        "warning",
        "None of the detections could be made a mark.",
        "check that boxes lie in the pictures and that depth or a second view is there",
    ),
    "encoding_assumed": Kind(
        "warning",
        "Pictures do not say the order of their colours, and one was assumed.",
        "let the driver publish bgr8 or rgb8 instead of 8UC3",
    ),
    "files_missing": Kind(
        "problem",
        "A list names files that are not there.",
        "copy the recording again, all of it",
    ),
    "files_passed_over": Kind(
        "warning",
        "Files that look like pictures cannot be read and were passed over.",
        "convert them to png or jpeg, or copy them again",
    ),
    "foreign_channel": Kind(
        "note",
        "A channel's messages are in an encoding that is not read; the others are.",
        "record ROS messages (cdr or ros1) if it is needed",
    ),
    "frame_id_shared": Kind(
        "problem",
        "A camera shares its frame_id with another one, so its place is not known.",
        "give each camera a frame_id of its own, or a rig file with T_base_camera (--rig)",
    ),
    "frame_left_out": Kind(
        "warning",
        "A frame cannot be decoded and was left out.",
        "check the camera's driver; the other frames are used",
    ),
    "frame_not_optical": Kind(
        "warning",
        "Pictures carry a frame_id that is probably not the camera's optical frame.",
        "stamp them with the optical frame (REP 103), or state frame_id in a rig file (--rig)",
    ),
    "frame_unreadable": Kind(
        "problem",
        "A frame that was looked at cannot be decoded.",
        "check the camera's driver and the recording; the other frames are used",
    ),
    "frames_chosen": Kind(
        "note",
        "A question rests on some of the pictures, not on all.",
        "ask with more views (--views), or about another moment (--at)",
    ),
    "frames_missing": Kind(
        "note",
        "A camera's frames have gaps in time.",
        "frames were dropped, or the camera was recorded slowly",
    ),
    "frames_not_in_cloud": Kind(
        "note",
        "Frames without depth, calibration or pose are no part of the point cloud.",
        "record depth, camera_info and TF",
    ),
    "graphs_unavailable": Kind(
        "note",
        "Decode runs without captured CUDA graphs and is slower.",
        "see the text for the reason; answers are the same",
    ),
    "image_topic_unused": Kind(
        "note",
        "An image topic is neither a picture nor depth.",
        "if it is one, say so in a rig file (roles)",
    ),
    "journal_read": Kind(
        "note",
        "A database was not closed: the newest messages were taken from its journal.",
        "write them into the database with `sqlite3 FILE.db3 'pragma wal_checkpoint(truncate)'`",
    ),
    "marks_by_colour": Kind(
        "warning",
        "Objects were joined over views by colour and matched points, not by depth.",
        "record depth, camera_info and TF for surer numbers",
    ),
    "marks_none": Kind(
        "warning",
        "No object could be numbered.",
        "look from nearer or from more sides, or use detections",
    ),
    "marks_not_in_views": Kind(
        "warning",
        "Views without depth or pose carry no marks.",
        "record depth, camera_info and TF for these cameras",
    ),
    "marks_not_shown": Kind(
        "note",
        "A mark has no 3D place and is not shown in 3D.",
        "record depth, camera_info and TF",
    ),
    "marks_of_one_view": Kind(
        "warning",
        "One view without depth gives no correspondence between views.",
        "use a second camera, or depth",
    ),
    "marks_renumbered": Kind(
        "note",
        "The largest number was reached, and numbering began anew.",
        "do not compare numbers with earlier scenes",
    ),
    "marks_without_parallax": Kind(
        "warning",
        "Cameras that show a mark stand too near to each other to tell how far it is.",
        "move the camera, give depth, or say how good poses are (marks.pose_shift_m)",
    ),
    "marks_without_places": Kind(
        "problem",
        "Fewer than two views have poses: marks have no 3D place.",
        "record /tf and /tf_static, or give a rig file (--rig)",
    ),
    "memory_kept_together": Kind(
        "note",
        "What was measured in the forgotten place and time and outside of it cannot be told apart.",
        "forget a larger region or span, or everything, where that must go, too",
    ),
    "memory_map_left_out": Kind(
        "note",
        "Keyframes of sessions that a memory keeps apart are not part of the source.",
        "remember those sessions in a memory of their own",
    ),
    "memory_not_localised": Kind(
        "note",
        "Frames without a sure pose are not recorded in a memory.",
        "localise the robot, or say that poses this unsure may be recorded (docs/remember.md)",
    ),
    "memory_pictures_missing": Kind(
        "warning",
        "Picture files of a memory that its rows name are not there.",
        "restore them from a copy; rows, places and times are whole",
    ),
    "memory_same_look": Kind(
        "note",
        "More than one thing of a memory fits the words.",
        "choose one of the candidates, or name it more exactly",
    ),
    "memory_without_depth": Kind(
        "warning",
        "Frames without depth and calibration show no places: a memory takes no thing from them.",
        "record depth too",
    ),
    "memory_words_unknown": Kind(
        "warning",
        "Words of a question that a memory can neither measure nor find among labels and answers.",
        "name colour and shape, or remember with a detector's labels (--detections)",
    ),
    "message_unreadable": Kind(
        "warning",
        "A message cannot be read.",
        "check the recording with its own tools",
    ),
    "metadata_missing": Kind(
        "note",
        "A recording of several files has no metadata.yaml: its recorder was probably killed.",
        "write it with `ros2 bag reindex FOLDER`",
    ),
    "metadata_wrong": Kind(
        "warning",
        "metadata.yaml does not describe the data files beside it, which were read.",
        "write it anew with `ros2 bag reindex FOLDER`",
    ),
    "model_out_of_domain": Kind(
        "warning",
        "The model was trained on synthetic rooms only, and the source is not one.",
        "give --model the folder of a published Oryx checkpoint",
    ),
    "model_positions_not_scaled": Kind(
        "warning",
        "The checkpoint asks for scaled positions, which Oryx on Qwen never applied.",
        "keep scenes within the length that the model was trained on",
    ),
    "model_random": Kind(
        "problem",
        "The model has random weights: its text means nothing.",
        "give --model a trained checkpoint",
    ),
    "model_settings_assumed": Kind(
        "warning",
        "The checkpoint does not state settings of its arithmetic; defaults were taken.",
        "get config.json again from where the checkpoint was published",
    ),
    "no_camera_info": Kind(
        "problem",
        "A camera has no calibration, so nothing it sees has a place.",
        "record its camera_info, or give a rig file (--rig)",
    ),
    "no_depth": Kind(
        "note",
        "A frame has no depth.",
        "record depth beside the colour pictures",
    ),
    "no_fixed_frame": Kind(
        "problem",
        "The coordinate frame that was asked for is not in TF.",
        "give --fixed-frame a frame that TF holds",
    ),
    "no_frame": Kind(
        "problem",
        "None of a camera's frames that were looked at can be decoded.",
        "check the camera's driver and the recording",
    ),
    "no_pose": Kind(
        "problem",
        "TF does not say where a camera was, so nothing it sees has a place.",
        "record /tf and /tf_static from before the first frame on, or give a rig file (--rig)",
    ),
    "no_stamps": Kind(
        "note",
        "The source holds no stamps, and they were counted.",
        "ages and the order of views mean little here",
    ),
    "no_such_mark": Kind(
        "problem",
        "The question names a mark that the scene does not have; the model was not asked.",
        "look at the marked views for the numbers that there are",
    ),
    "no_tf": Kind(
        "problem",
        "The source holds no transforms at all.",
        "record /tf and /tf_static, or give a rig file (--rig)",
    ),
    "nothing_placed": Kind(
        "note",
        "Nothing in the scene has a 3D place; its views are shown instead.",
        "record depth, camera_info and TF",
    ),
    "other_fixed_frame": Kind(
        "warning",
        "Places are given in another coordinate frame than was asked for.",
        "give --fixed-frame the frame that you want, or record its transforms",
    ),
    "other_renderer": Kind(
        "note",
        "Pictures were drawn by the built-in renderer instead of Open3D.",
        "install the extra 'view', or ask for --renderer splat",
    ),
    "part_of_recording": Kind(
        "note",
        "One file of a recording of several was opened.",
        "give the folder to read all of them",
    ),
    "picture_range_unused": Kind(
        "warning",
        "A picture of 16 bits uses a small part of their range and is nearly one colour.",
        "give the camera a grey_range in a rig file (--rig)",
    ),
    "picture_without_stamp": Kind(
        "warning",
        "Pictures carry no stamp; the time of recording was taken.",
        "let the driver stamp its pictures",
    ),
    "pictures_damaged": Kind(
        "problem",
        "Pictures of a topic cannot be decoded; they are left out.",
        "copy the recording again, or check the camera's driver",
    ),
    "places_in_camera_frame": Kind(
        "warning",
        "Without a pose, places are given in the camera's own frame.",
        "record /tf and /tf_static, or give a rig file (--rig)",
    ),
    "places_other_source": Kind(
        "note",
        "Frames with another fixed frame are left out of the 3D view.",
        "record all cameras in one TF tree",
    ),
    "places_rough": Kind(
        "note",
        "Places and sizes are triangulated from pictures and rough.",
        "record depth for better places",
    ),
    "pose_file_unused": Kind(
        "problem",
        "A file of poses does not fit the pictures.",
        "write one pose per picture, or the TUM format with the pictures' stamps",
    ),
    "pose_topic_assumed": Kind(
        "warning",
        "Poses that do not name what they are of were taken as those of the cameras' common frame.",
        "record TF, or Odometry with a child_frame_id, if they are of something else",
    ),
    "pose_topic_unused": Kind(
        "warning",
        "Recorded poses are not used: it is not known how they belong to a camera.",
        "record /tf_static from the moving frame to the cameras, or give a rig file (--rig)",
    ),
    "pose_topic_used": Kind(
        "note",
        "TF does not place a camera; poses of a topic were used instead.",
        "record /tf for transforms of all moments",
    ),
    "pose_unusable": Kind(
        "problem",
        "A pose is no pose: not finite, or no rotation.",
        "write camera-to-world matrices, or quaternions of length 1",
    ),
    "poses_in_part": Kind(
        "problem",
        "Poses are known for a part of the recording only.",
        "ask about a covered moment (--at)",
    ),
    "question_failed": Kind(
        "problem",
        "A question failed before the model had said anything.",
        "repeat it from its dump, or ask again; the answer's error says why",
    ),
    "recording_cut_off": Kind(
        "problem",
        "A data file ends before its end: what came after is lost.",
        "copy it again, or close it with `mcap recover IN -o OUT` or `rosbag reindex IN`",
    ),
    "recording_damaged": Kind(
        "problem",
        "Reading stopped at damage: a part of the recording is lost.",
        "copy it again, or repair it with its own tools",
    ),
    "recording_duplicated": Kind(
        "warning",
        "Messages lie in two files of a recording; each was used once.",
        "move the copy, or the repaired twin, elsewhere",
    ),
    "recording_file_left_out": Kind(
        "problem",
        "A data file beside the others was left out.",
        "give it on its own, or move it elsewhere",
    ),
    "recording_file_missing": Kind(
        "problem",
        "Data files that metadata.yaml lists are not there.",
        "copy them too, or write metadata.yaml anew with `ros2 bag reindex FOLDER`",
    ),
    "recording_file_unreadable": Kind(
        "problem",
        "One data file of a recording cannot be read; the others were.",
        "copy it again",
    ),
    "recording_incomplete": Kind(
        "problem",
        "Fewer messages could be read than the recording says it holds.",
        "copy it again, or repair it with its own tools",
    ),
    "request_ignored_in_part": Kind(
        "warning",
        "A part of the request does not apply and was ignored.",
        "ask without it, or freeze a new scene",
    ),
    "rig_camera_unknown": Kind(
        "warning",
        "The rig file names cameras that the source does not have.",
        "name the cameras in the rig file as `oryx-scene check` lists them",
    ),
    "rig_mounting_unused": Kind(
        "note",
        "Poses of the camera itself are there, so its mounting on the base is not used.",
        "leave T_base_camera out, or give poses of the base",
    ),
    "rig_unused": Kind(
        "note",
        "A rig file was given, and this kind of source does not use it.",
        "give the rig file to the recording that the question was asked about",
    ),
    "scene_expired": Kind(
        "note",
        "A scene was no longer kept, and a new one was frozen.",
        "raise scene_ttl_s, or ask sooner",
    ),
    "scene_step_failed": Kind(
        "problem",
        "A moment of the recording cannot be shown.",
        "see the text; other moments can be",
    ),
    "sequence_reduced": Kind(
        "note",
        "Frames of a long sequence are kept smaller than they came, to fit memory.",
        "ask with fewer views (--views) to see them larger",
    ),
    "sequence_without_marks": Kind(
        "note",
        "A sequence of more than 64 views is shown without numbers on objects.",
        "ask with at most 64 views, or ask a memory",
    ),
    "size_changes": Kind(
        "note",
        "The size of a camera's pictures changes.",
        "each frame is handled at its own size",
    ),
    "stamp_file_unused": Kind(
        "warning",
        "A list of stamps does not fit the pictures.",
        "write one stamp per picture, in the order of their names",
    ),
    "stamps_backwards": Kind(
        "note",
        "Stamps of a camera go backwards.",
        "the clock jumped, or the recording was looped",
    ),
    "stamps_shared": Kind(
        "note",
        "Several frames of a camera have the same stamp.",
        "the driver stamps with a coarse clock",
    ),
    "tf_contradicts": Kind(
        "problem",
        "Several TF topics say different things of the same frames, and none is the camera's own.",
        "record the /tf of one robot, or publish TF beside its cameras (in their namespace)",
    ),
    "tf_namespaces": Kind(
        "note",
        "There are several TF topics; cameras are looked up in the tree of their own namespace.",
        "check that the fixed frame is one and the same for all of them",
    ),
    "tf_two_parents": Kind(
        "warning",
        "Several nodes publish one frame with different parents.",
        "let only one node publish it; see `ros2 run tf2_tools view_frames`",
    ),
    "tokenizer_doubtful": Kind(
        "warning",
        "Ids of the prompt may differ from those that the model was trained on.",
        "use the tokenizer files that were published with the checkpoint",
    ),
    "topic_of_drawn_pictures": Kind(
        "note",
        "An image topic was left out: its pictures were drawn into.",
        "name the topic in a rig file (--rig) to use it as a camera",
    ),
    "topic_of_marked_pictures": Kind(
        "note",
        "An image topic was left out: oryx_scene drew its numbers into the pictures.",
        "name the topic in a rig file (--rig) to use it as a camera",
    ),
    "topic_of_same_camera": Kind(
        "note",
        "An image topic was left out: it shows the same camera at the same moments as another.",
        "name the topic in a rig file (--rig) to use it as a camera",
    ),
    "topic_of_several_types": Kind(
        "note",
        "A topic carries messages of several types; those that do not fit are left out.",
        "rename one of them when recording",
    ),
    "topic_undecodable": Kind(
        "warning",
        "An image topic was left out: its pictures cannot be decoded.",
        "record raw, jpeg or png pictures, or convert them with image_transport",
    ),
    "transform_left_out": Kind(
        "warning",
        "A transform cannot be right and was left out.",
        "check the node that publishes it",
    ),
    "transforms_at_other_time": Kind(
        "warning",
        "Places are given as of the scene's own time.",
        "see the text for the transform that was missing",
    ),
    "two_clocks": Kind(
        "problem",
        "TF and the pictures do not overlap in time.",
        "synchronise the clocks (chrony, PTP), or let the driver stamp on arrival",
    ),
    "unknown_mark": Kind(
        "warning",
        "A mark is named that the scene does not have.",
        "look at the marked views for the numbers that there are",
    ),
    "views_unsynchronised": Kind(
        "warning",
        "Frames of different cameras lie further apart than allowed.",
        "allow a larger views.slop_s, or trigger the cameras together",
    ),
    "words_not_learnt": Kind(
        "warning",
        "The question has words that the model's training never used.",
        "ask in the wordings of the model's training (docs/answers.md), or give another --model",
    ),
    "working_cut_off": Kind(
        "warning",
        "The model's working was cut off before its answer.",
        "allow more tokens (max_new_tokens)",
    ),
}


@dataclass(frozen=True)
class Warning:
    """One thing that is missing, doubtful or degraded.

    Attributes:
        code: key of :data:`KINDS`.
        text: what happened this time; one sentence without an advice.
        camera: our name of the camera, "" where it is about none.
        topic: topic or file of the recording, "" where it is about none.
        stamp_ns: capture stamp of the frame, None where it is about none.
        severity: "note", "warning" or "problem"; that of the kind.
        advice: what to do; that of the kind where the caller knows nothing better.

    Raises:
        ValueError: no such code.
    """

    code: str
    text: str
    camera: str = ""
    topic: str = ""
    stamp_ns: int | None = None
    severity: str = ""
    advice: str = ""

    def __post_init__(self) -> None:
        kind = KINDS.get(self.code)
        if kind is None:
            raise ValueError(f"no warning has the code '{self.code}'; see KINDS")
        object.__setattr__(self, "severity", kind.severity)
        object.__setattr__(self, "advice", self.advice or kind.advice)

    @property
    def origin(self) -> str:
        """Where it comes from, in words: camera, topic and stamp as far as they are known."""
        stamp = "" if self.stamp_ns is None else f"at {self.stamp_ns / 1e9:.3f} s"
        return " ".join(part for part in (self.camera, self.topic, stamp) if part)

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}" if self.origin else self.text

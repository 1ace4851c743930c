"""cmad: multimodal sentiment with missing modalities, from raw files to tables.

Rooms, in the order in which data flow: ``config``, ``raw`` → ``language`` → ``preprocessing`` → ``store`` →
``network`` → ``losses``, ``scores`` → ``methods`` → ``training`` → ``teachers``, ``students`` →
``evaluation`` → ``report``. None imports from a room that stands after it. ``computing`` (device, precision,
chance, processes) serves those with networks. Around them ``published``, ``inspection`` and ``planning``, the
rooms of the commands.
"""

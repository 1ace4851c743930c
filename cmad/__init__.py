"""cmad: multimodal sentiment with missing modalities, from raw files to tables.

Rooms, in the order in which data flow: ``config``, ``raw`` → ``language`` → ``store`` → ``batches`` →
``network`` → ``predictions``, ``losses``, ``scores`` → ``methods`` → ``training`` → ``evaluation`` →
``report``. None imports from a room that stands after it. Around them ``published``, ``inspection`` and
``planning``, the rooms of the commands.
"""

"""cmad: multimodal sentiment with missing modalities, from raw files to tables.

Rooms, in the order in which data flow: ``raw`` → ``store`` → ``batches`` → ``network`` →
``losses`` → ``methods`` → ``training`` → ``evaluation`` → ``scores`` → ``report``.
"""

"""From the three tokens of a sample to its fused representation E (spec section 1)."""

from torch import Tensor, nn

from cmad.config.schema import Network as Settings
from cmad.network.dropout import ReluDropout


class Fusion(nn.Module):
    """A stock post-norm transformer over the three tokens, then one linear layer; E >= 0."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            settings.width,
            settings.heads,
            settings.fusion_feedforward,
            settings.transformer_dropout,
            batch_first=True,
        )
        # The stock feed-forward block applies the one, then the other. Dropout of 0 draws nothing.
        layer.activation = ReluDropout(settings.transformer_dropout)
        layer.dropout.p = 0.0
        self.transformer = nn.TransformerEncoder(layer, settings.fusion_layers, enable_nested_tensor=False)
        self.linear = nn.Linear(3 * settings.width, settings.width)
        self.dropout = nn.Dropout(settings.fusion_dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens U [B, 3, D] to E [B, D]."""
        return self.dropout(self.linear(self.transformer(tokens).flatten(1))).relu()

"""From the three tokens of a sample to its fused representation E (spec section 1)."""

from typing import cast

from torch import Tensor, nn

from cmad.config.schema import Network as Settings
from cmad.network.blocks import applied
from cmad.network.dropout import ReluDropout
from cmad.network.feed_forward import Widened


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
        self.transformer = nn.TransformerEncoder(layer, settings.fusion_layers, enable_nested_tensor=False)
        self.linear = nn.Linear(3 * settings.width, settings.width)
        self.dropout = nn.Dropout(settings.fusion_dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens U [B, 3, D] to E [B, D]."""
        for layer in self.transformer.layers:
            tokens = _encode(cast(nn.TransformerEncoderLayer, layer), tokens)
        return self.dropout(self.linear(tokens.flatten(1))).relu()


def _encode(layer: nn.TransformerEncoderLayer, tokens: Tensor) -> Tensor:
    """The stock layer, but for its feed-forward block."""
    attended, _ = layer.self_attn(tokens, tokens, tokens, need_weights=False)
    tokens = layer.norm1(tokens + layer.dropout1(attended))
    between = ReluDropout(layer.dropout.p if layer.training else 0.0)
    weights = layer.linear1.weight, layer.linear1.bias, layer.linear2.weight, layer.linear2.bias
    fed = applied(Widened(between), tokens, *weights)
    return cast(Tensor, layer.norm2(tokens + layer.dropout2(fed)))

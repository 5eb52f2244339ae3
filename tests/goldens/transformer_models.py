"""Models and layers of Hugging Face's transformers, run with moec's parameters.

Parameters carry moec's names; what moec holds as one matrix (queries, keys and values; all experts) is cut up here. Sizes come from the caller; nothing here
reads files or draws numbers.
"""
import torch
from transformers import GPTJConfig, LlamaConfig, SwitchTransformersConfig, SwitchTransformersForConditionalGeneration, T5Config
from transformers.models.gptj.modeling_gptj import GPTJAttention, GPTJRotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.models.t5.modeling_t5 import T5Attention

from placement import Placement


class Parameters(Placement):
    def set_attention(self, module, path, q, k, v, out):
        """Queries, keys and values from "qkv", or from "q" and "kv" where they read two values."""
        inner, outer = getattr(module, q).weight.shape[0], getattr(module, k).weight.shape[0]
        if path + ".qkv.weight" in self.weights:
            self.set(getattr(module, q).weight, path + ".qkv.weight", lambda value: value[:inner])
            joined, start = path + ".qkv.weight", inner
        else:
            self.set(getattr(module, q).weight, path + ".q.weight")
            joined, start = path + ".kv.weight", 0
        self.set(getattr(module, k).weight, joined, lambda value: value[start:start + outer])
        self.set(getattr(module, v).weight, joined, lambda value: value[start + outer:start + 2 * outer])
        self.set(getattr(module, out).weight, path + ".out.weight")


def layer_paths(size):
    """{(stack, number of the layer): (moec's path, is it sparse)}."""
    paths = {}
    for i in range(size["encoder_layers"]):
        paths["encoder", 2 * i] = f"encoder.{i}.dense_encoder_layer", False
        paths["encoder", 2 * i + 1] = f"encoder.{i}.sparse_encoder_layer", True
    for i in range(size["decoder_layers"]):
        for j, name in enumerate(("dense_decoder_layer", "sparse_decoder_layer", "dense_decoder_layer_2", "dense_decoder_layer_3")):
            paths["decoder", 4 * i + j] = f"decoder.{i}.{name}", j == 1
    return paths


def set_layer(block, path, sparse, experts, parameters):
    attention, *cross, last = block.layer
    parameters.set(attention.layer_norm.weight, f"{path}.self_attention.rms_norm.weight")
    parameters.set_attention(attention.SelfAttention, f"{path}.self_attention.attention", "q", "k", "v", "o")
    for layer in cross:
        parameters.set(layer.layer_norm.weight, f"{path}.cross_attention.rms_norm.weight")
        parameters.set_attention(layer.EncDecAttention, f"{path}.cross_attention.attention", "q", "k", "v", "o")
    kind = "sparse" if sparse else "dense"
    parameters.set(last.layer_norm.weight, f"{path}.{kind}.rms_norm.weight")
    if not sparse:
        parameters.set(last.mlp.wi.weight, f"{path}.dense.mlp.up.weight")
        parameters.set(last.mlp.wo.weight, f"{path}.dense.mlp.down.weight")
        return
    parameters.set(last.mlp.router.classifier.weight, f"{path}.sparse.moe.gate.weight")
    for e in range(experts):
        expert = last.mlp.experts[f"expert_{e}"]
        parameters.set(expert.wi.weight, f"{path}.sparse.moe.experts.up.weight", lambda value, e=e: value[e])
        parameters.set(expert.wo.weight, f"{path}.sparse.moe.experts.down.weight", lambda value, e=e: value[e])


def build_switch(size, weights, **more):
    """(model, its Placement, {moec's path of a sparse layer: its router})."""
    config = SwitchTransformersConfig(
        vocab_size=size["vocabulary"], d_model=size["dim"], d_kv=size["head_dim"], d_ff=size["hidden"], num_heads=size["heads"],
        num_layers=2 * size["encoder_layers"], num_sparse_encoder_layers=size["encoder_layers"],
        num_decoder_layers=4 * size["decoder_layers"], num_sparse_decoder_layers=size["decoder_layers"],
        num_experts=size["experts"], expert_capacity=size["expert_capacity"], decoder_start_token_id=0, **more)
    config._attn_implementation = "eager"
    model, parameters, routers = SwitchTransformersForConditionalGeneration(config), Parameters(weights), {}
    for stack in ("encoder", "decoder"):
        blocks = getattr(model, stack)
        parameters.set(blocks.final_layer_norm.weight, f"{stack}_norm.weight")
        parameters.set(blocks.block[0].layer[0].SelfAttention.relative_attention_bias.weight, f"{stack}_bias.weight")
        for i, block in enumerate(blocks.block):
            path, sparse = layer_paths(size)[stack, i]
            assert block.is_sparse == sparse, (stack, i)
            set_layer(block, path, sparse, size["experts"], parameters)
            if sparse:
                routers[f"{path}.sparse.moe"] = block.layer[-1].mlp.router
    parameters.set(model.shared.weight, "shared.weight")
    for tied in (model.encoder.embed_tokens, model.decoder.embed_tokens, model.lm_head):
        tied.weight = model.shared.weight
    assert parameters.count() == sum(parameter.numel() for parameter in model.parameters())
    return model, parameters, routers


def run_switch(size, weights, ids, targets):
    """(scores, {moec's path of a sparse layer: (indices (T, 1), weights (T, 1))}, number of parameters), in evaluation."""
    (model, parameters, routers), routing = build_switch(size, weights), {}
    for path, router in routers.items():
        def keep(_, __, result, path=path):
            chosen, share, _ = result
            indices = torch.where(chosen.any(dim=-1), chosen.argmax(dim=-1), -1)
            routing[path] = indices.reshape(-1, 1).numpy(), share.detach().reshape(-1, 1).numpy()
        router.register_forward_hook(keep)
    with torch.no_grad():
        scores = model.eval()(input_ids=torch.from_numpy(ids), labels=torch.from_numpy(targets)).logits
    return scores.numpy(), routing, parameters.count()


def losses(built, ids, targets):
    """(cross entropy, {name of a stack's loss: (coefficient, loss)}) in training."""
    model, *_ = built
    found, config = {}, model.config
    result = model.train()(input_ids=ids, labels=targets, output_router_logits=True)
    for stack in ("encoder", "decoder"):
        found[stack + ".balance_loss"] = config.router_aux_loss_coef, getattr(result, stack + "_aux_loss")
        if config.router_z_loss_coef:
            found[stack + ".z_loss"] = config.router_z_loss_coef, getattr(result, stack + "_z_loss")
    task = torch.nn.functional.cross_entropy(result.logits.flatten(0, 1), targets.flatten())
    assert torch.allclose(result.loss, task + sum(coefficient * value for coefficient, value in found.values()), rtol=1e-6)
    return task, found


def causal_mask(tokens):
    return torch.full((tokens, tokens), torch.finfo(torch.float32).min).triu(1)[None, None]


def run_t5_attention(size, weights, x):
    """T5's attention to both sides, then its attention to what is before, each with the distances' bias."""
    parameters = Parameters(weights)
    value = torch.from_numpy(x)
    for name, decoder in (("both", False), ("past", True)):
        config = T5Config(d_model=size["dim"], d_kv=size["head_dim"], num_heads=size["heads"], is_decoder=decoder, dropout_rate=0.0)
        config._attn_implementation = "eager"
        module = T5Attention(config, has_relative_attention_bias=True, layer_idx=0).eval()
        parameters.set_attention(module, name, "q", "k", "v", "o")
        parameters.set(module.relative_attention_bias.weight, f"{name}_bias.weight")
        with torch.no_grad():
            value = module(value, mask=causal_mask(x.shape[1]) if decoder else None)[0]
    parameters.count()
    return value.numpy()


def run_llama_attention(size, weights, x):
    """Llama's norm and attention: heads that share keys, and halves turned by their position."""
    config = LlamaConfig(hidden_size=size["dim"], num_attention_heads=size["heads"], num_key_value_heads=size["kv_heads"], head_dim=size["head_dim"],
                         rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": size["base"]})
    config._attn_implementation = "eager"
    norm, module, parameters = LlamaRMSNorm(size["dim"], eps=1e-6), LlamaAttention(config, layer_idx=0).eval(), Parameters(weights)
    parameters.set(norm.weight, "rms_norm.weight")
    parameters.set_attention(module, "attention", "q_proj", "k_proj", "v_proj", "o_proj")
    parameters.count()
    with torch.no_grad():
        value = norm(torch.from_numpy(x))
        positions = LlamaRotaryEmbedding(config)(value, torch.arange(x.shape[1])[None])
        return module(value, position_embeddings=positions, attention_mask=causal_mask(x.shape[1]))[0].numpy()


def run_gptj_attention(size, weights, x):
    """GPT-J's attention: neighbouring columns turned by their position."""
    config = GPTJConfig(n_embd=size["dim"], n_head=size["heads"], rotary_dim=size["head_dim"], n_positions=64, attn_pdrop=0.0, resid_pdrop=0.0)
    config._attn_implementation = "eager"
    module, parameters = GPTJAttention(config, layer_idx=0).eval(), Parameters(weights)
    parameters.set_attention(module, "attention", "q_proj", "k_proj", "v_proj", "out_proj")
    parameters.count()
    tokens = x.shape[1]
    with torch.no_grad():
        value = torch.from_numpy(x)
        positions = GPTJRotaryEmbedding(config)(value, torch.arange(tokens)[None])
        return module(value, position_embeddings=positions, attention_mask=causal_mask(tokens))[0].numpy()

"""The miniature world: vocabulary, languages, problem generators and base corpus. No models, no
training."""

"""What should be done about a sick run? One advice for each diagnosis of `doctor.py`.

Left out: when a diagnosis is made.
"""

REMEDIES = {
    "too_early": "Come back after five steps.",
    "non_finite": (
        "Go back to the checkpoint before that step. Lower the learning rate, clip the gradient "
        "norm, bound the log-ratio in KL and ratio, and use bf16 or fp32 instead of fp16."
    ),
    "advantage_not_finite": (
        "Look for a group whose rewards are all equal and whose standard deviation divided without "
        "an epsilon, or for a reward that is not finite itself."
    ),
    "format_zero": (
        "Read three traces. Check that the prompt asks for exactly what the grader wants, that its "
        "pattern crosses line breaks, and give a few examples by SFT (a cold start) if need be."
    ),
    "format_lost": (
        "Compare traces from before and now. Give the format reward a weight that no other part "
        "can outbid."
    ),
    "format_cut": "Raise the length limit, or begin with shorter problems.",
    "format_prefilled": (
        "Judge the end of the prompt and the completion together, or take the tag out of the "
        "template."
    ),
    "truncation": (
        "Raise the length limit, or leave cut answers out of the loss. Check that end-of-text is "
        "learnt."
    ),
    "unjudged": (
        "Look at traces whose total is null: a grader that times out, or a problem whose reference "
        "it cannot read. Repair the grader; never count them as 0 or 1."
    ),
    "flat_zero": (
        "Take easier problems, which the base solves in 10-40 % of its samples (measure that "
        "first), larger groups, or a better base. Try the grader on a right answer written by hand."
    ),
    "never_right": (
        "Try the grader on a right answer written by hand. If it passes, take easier problems, "
        "which the base solves in 10-40 % of its samples (measure that first)."
    ),
    "flat_one": (
        "Take harder problems, or stop here. At the first step this is a leak: does the prompt "
        "hold the answer, does the grader accept everything?"
    ),
    "flat_tied": (
        "Choose problems of middle difficulty, raise temperature or group size, and look whether "
        "siblings are copies of one another (entropy)."
    ),
    "no_gradient": (
        "Look for weights that do not require gradients, a mask without a single token, "
        "log-probabilities taken under no_grad, or advantages lost on the way."
    ),
    "entropy_death": (
        "Go back to an earlier checkpoint. Lower the learning rate, raise the upper clip bound, "
        "sample at temperature 1, or add a KL term."
    ),
    "kl_blow_up": (
        "Read traces: if they are nonsense, go back. Lower the learning rate, raise the KL "
        "coefficient, or renew the reference if the drift is wanted."
    ),
    "collapse": (
        "Keep the checkpoint of the peak, and read traces of then and now side by side. Lower the "
        "learning rate or let it decay, add a KL term, renew the reference."
    ),
    "hacked": (
        "Keep the checkpoint of the peak, and read traces of then and now side by side. Repair the "
        "reward part that pays for wrong answers."
    ),
    "length_collapse": (
        "Read short traces: thinking is being dropped. Look for a reward that pays without work, a "
        "loss that favours short answers, or steps so unreliable that thinking longer only adds "
        "errors."
    ),
    "repetition": (
        "See whether these are the cut answers. Go back to an earlier checkpoint, lower the "
        "learning rate, sample at temperature 1, and let cut answers earn nothing."
    ),
    "healthy": (
        "Go on. The loss says little: with one update a batch it stays near 0 however much is "
        "learnt, or above it where wrong answers are longer. Watch reward, ties and gradient norm."
    ),
    "healthy_copying": (
        "Measure held-out problems: this loss is of texts that were learnt. What is copied often "
        "enough is known by heart, and near 0 says no more than that."
    ),
}
"""Advice by diagnosis; some findings with one code have several causes, hence several entries."""

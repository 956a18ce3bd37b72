"""Words of other libraries and papers for what nnlab has under another name, with the options that do the same.

A word that nnlab knows itself is not listed here. Each hint is (options, what they do).
"""

Hint = tuple[str, str]

_EARLY: Hint = ("--patience 20", "runs stop early anyway; none: never")
_RATE: Hint = ("--lr 0.01", "the peak of the schedule")
_CLIP: Hint = (
    "--clip-norm 1",
    "of the whole gradient; --clip-value 1 cuts its entries, --clip-adaptive 0.02 by weight",
)
_HALF: Hint = ("--precision bf16", "or fp16, with a scaler of its own")
_DEVICE: Hint = ("--device cuda", "auto takes it where torch sees one")
_SEED: Hint = ("--seed 0", "of weights, row order and dropout")
_WIDTHS: Hint = ("--hidden 128,64", "the width of each layer")
_BATCH: Hint = ("--batch-size 256", "rows of a step")
_EPOCHS: Hint = ("--epochs 60", "passes over the training rows")
_SCHEDULE: Hint = ("--schedule cosine", "--help schedule lists them")
_PLATEAU: Hint = ("--schedule plateau", "less where the validation loss stands still")
_WARMUP: Hint = ("--warmup 0.05", "the share of the run in front of any schedule")
_ALPHA: Hint = ("--activation selu --dropout 0.1", "dropout behind selu is alpha dropout")
_NORM: Hint = ("--norm batch", "or layer, group, rms")
_SPECTRAL: Hint = ("--spectral-norm 1", "the largest singular value of each matrix of weights")
_INIT: Hint = ("--init he_normal", "--help init lists them")
_WEIGHT: Hint = ("--class-weight balanced", 'or by hand, as in --class-weight "yes=3,no=1"')

OPTIONS: dict[str, Hint] = {
    **dict.fromkeys(("early_stopping", "early_stop", "earlystopping", "n_iter_no_change"), _EARLY),
    **dict.fromkeys(("learning_rate", "learning_rate_init", "step_size", "eta", "alpha_lr", "max_lr"), _RATE),
    **dict.fromkeys(("clip", "clip_grad", "grad_clip", "gradient_clip", "gradient_clipping", "clipnorm"), _CLIP),
    **dict.fromkeys(("clip_grad_norm", "gradient_clip_val", "max_grad_norm"), _CLIP),
    **dict.fromkeys(("amp", "autocast", "mixed_precision", "half", "bf16", "bfloat16"), _HALF),
    **dict.fromkeys(("fp16", "float16"), ("--precision fp16", "with a scaler of its own")),
    **dict.fromkeys(("gpu", "cuda", "gpus", "accelerator", "use_gpu"), _DEVICE),
    **dict.fromkeys(("random_state", "random_seed"), _SEED),
    **dict.fromkeys(("hidden_layer_sizes", "hidden_layers", "hidden_size", "hidden_units", "units", "layers"), _WIDTHS),
    **dict.fromkeys(("neurons", "n_layers", "num_layers"), _WIDTHS),
    **dict.fromkeys(("batch", "bs", "batchsize", "mini_batch", "minibatch"), _BATCH),
    **dict.fromkeys(("max_epochs", "n_epochs", "num_epochs", "max_iter", "iterations"), _EPOCHS),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_schedule"), _SCHEDULE),
    **dict.fromkeys(("reduce_lr_on_plateau", "lr_plateau"), _PLATEAU),
    **dict.fromkeys(("warm_up", "warmup_steps", "warmup_ratio", "warmup_epochs"), _WARMUP),
    **dict.fromkeys(
        ("ema", "ema_decay", "weight_ema"), ("--average ema", "with --average.decay 0.99, or another share")
    ),
    **dict.fromkeys(("swa", "polyak"), ("--average swa", "best with --schedule constant")),
    **dict.fromkeys(("alpha_dropout", "alphadropout"), _ALPHA),
    **dict.fromkeys(("batch_norm", "batchnorm", "layer_norm", "layernorm", "normalization"), _NORM),
    **dict.fromkeys(("spectral", "spectralnorm"), _SPECTRAL),
    **dict.fromkeys(("weight_init", "initializer", "kernel_initializer", "initialization"), _INIT),
    **dict.fromkeys(("class_weights", "pos_weight", "scale_pos_weight", "balanced_weights"), _WEIGHT),
    **dict.fromkeys(("wd", "decay_weights", "weightdecay", "l2_decoupled"), ("--weight-decay 0.1", "decoupled")),
    **dict.fromkeys(("betas", "beta_1", "beta_2"), ("--beta1 0.9 --beta2 0.999", "one option each")),
    **dict.fromkeys(("lasso", "l1_penalty", "l1_reg"), ("--l1 0.0001", "proximal, so that weights become exactly 0")),
    **dict.fromkeys(("ridge", "l2_penalty", "l2_reg"), ("--l2 0.0001", "weight decay is another: --weight-decay")),
    **dict.fromkeys(("elastic", "elasticnet", "l1_l2"), ("--elastic-net 0.0001", "--elastic-net.l1-share 0.5 mixes")),
    **dict.fromkeys(("drop_path", "droppath"), ("--model resnet --stochastic-depth 0.1", "or ft_transformer")),
    **dict.fromkeys(("mix_up",), ("--mixup 0.2", "rows mixed with others, targets too")),
    **dict.fromkeys(("noise", "gaussian_noise"), ("--input-noise 0.1", "--gradient-noise 0.01 is that of gradients")),
    **dict.fromkeys(("smoothing", "smooth"), ("--label-smoothing 0.1", "of cross_entropy")),
    **dict.fromkeys(("grad_accum", "gradient_accumulation", "accumulate_grad_batches"), ("--accumulate 4", "in parts")),
    **dict.fromkeys(("criterion", "loss_function", "objective"), ("--loss mae", "--help loss lists them")),
    **dict.fromkeys(("nonlinearity", "activation_function"), ("--activation relu", "--help activation lists them")),
    **dict.fromkeys(("solver", "optim"), ("--optimizer adamw", "--help optimizer lists them")),
    **dict.fromkeys(
        ("metric", "eval_metric", "scoring"), ("--metrics accuracy,f1", "--monitor chooses the epoch by one")
    ),
    **dict.fromkeys(("top_k", "topk"), ("--metrics top_7", "any number of likeliest classes")),
    **dict.fromkeys(("num_threads", "n_jobs", "num_workers"), ("--threads 1", "auto chooses by trial; no data loader")),
    **dict.fromkeys(("adversarial",), ("--fgsm 0.5", "or --pgd, --vat")),
    **dict.fromkeys(("temperature", "calibration"), ("--calibrate", "the temperature of predict_proba")),
    **dict.fromkeys(
        ("gradient_checkpointing", "activation_checkpointing"), ("--checkpoint-activations", "less memory")
    ),
    **dict.fromkeys(("verbose", "quiet", "progress"), ("--view none", "or text, live")),
}

TABLE_OPTIONS: dict[str, Hint] = {
    **dict.fromkeys(("test_size", "test_split", "test_share"), ("--test 0.2", "share of all rows")),
    **dict.fromkeys(
        ("validation_split", "val_size", "valid_size", "validation_fraction", "val", "validation"),
        ("--valid 0.16", "share of all rows"),
    ),
    **dict.fromkeys(("stratify", "stratified"), ("--split stratified", "which auto takes for classes anyway")),
    **dict.fromkeys(("random_state", "random_seed"), ("--seed 0", "of the split")),
    **dict.fromkeys(("cv", "k_fold", "kfold", "n_splits", "n_folds"), ("--folds 5", "data.folds then holds each")),
    **dict.fromkeys(("label", "y", "target_column", "outcome"), ("--target column", "the column to predict")),
    **dict.fromkeys(("groups", "group_column"), ("--group column", "its rows stay together in one part")),
    **dict.fromkeys(("imputer", "fillna", "missing"), ("--impute median", "--help impute lists them")),
    **dict.fromkeys(("scaler", "scaling", "normalize", "standardize"), ("--scale standard", "--help scale lists them")),
    **dict.fromkeys(("encoder", "encoding", "one_hot"), ("--encode one_hot", "--help encode lists them")),
    **dict.fromkeys(
        ("class_weight", "class_weights"), ("--balance weights", "or %nn_train data --class-weight balanced")
    ),
    **dict.fromkeys(("smote",), ("--balance smote", "new rows between near ones of rare classes")),
    **dict.fromkeys(("oversample", "undersample"), ("--balance oversample", "or undersample, to training rows only")),
    **dict.fromkeys(("sample_weight", "weights"), ("--weight column", "of rows; no feature")),
    **dict.fromkeys(("drop_columns_named", "exclude", "ignore"), ("--drop column", "or several: a,b")),
}

# Options of nnlab's own that have no parts, as in --class-weight.yes 3.
QUALIFIED: dict[str, Hint] = {"class_weight": ('--class-weight "yes=3,no=1"', "all labels in one value")}

SEARCH: dict[str, Hint] = {
    **dict.fromkeys(("n_trials", "num_trials", "max_trials", "num_samples", "n_iter"), ("--trials 30", "in the end")),
    **dict.fromkeys(("timeout", "time_budget", "time_budget_s", "time_limit"), ("--minutes 10", "whole or in part")),
    **dict.fromkeys(("direction", "objective", "scoring"), ("--monitor accuracy", "it knows which way is better")),
    "directions": ("--objectives loss,latency", "each knows which way is better"),
    **dict.fromkeys(("study_name", "project_name"), ("--name mine", "the same name goes on with it")),
    "load_if_exists": ("--name mine", "a study of that name goes on"),
    **dict.fromkeys(("n_jobs", "max_concurrent_trials"), ("--population 8", "or several kernels on one study")),
    **dict.fromkeys(("search_space", "param_space", "param_grid"), ("--space lr=1e-4..1e-1", "--help has more")),
    **dict.fromkeys(("search_alg", "tuner", "strategy"), ("--sampler tpe", "--help sampler lists them")),
    **dict.fromkeys(("cv", "n_folds"), ("--folds 5", "of data that %nn_preprocess --folds 5 made")),
}

CHOICES: dict[str, dict[str, Hint]] = {
    "optimizer": {
        "sam": ("--optimizer adamw --sam 0.05", "it is put around an optimizer"),
        "lookahead": ("--optimizer adamw --lookahead 5", "it is put around an optimizer"),
        "ema": ("--average ema", "an average of the weights goes with any optimizer"),
        "swa": ("--average swa", "an average of the weights goes with any optimizer"),
        "schedule_free": ("--optimizer schedule_free_adamw", "or schedule_free_sgd"),
        "shampoo": ("--optimizer soap", "which is of its kind"),
        "rprop": ("--optimizer rmsprop", "its form for batches"),
    },
    "norm": {
        "spectral": _SPECTRAL,
        "weight": _SPECTRAL,
        **dict.fromkeys(("batchnorm", "batch_norm", "bn"), ("--norm batch", "over the rows of a step")),
        **dict.fromkeys(("layernorm", "layer_norm", "ln"), ("--norm layer", "over the units of a row")),
        **dict.fromkeys(("rmsnorm", "rms_norm"), ("--norm rms", "no mean taken off")),
    },
    "device": {
        **dict.fromkeys(("gpu", "nvidia"), _DEVICE),
        **dict.fromkeys(("cuda:0", "cuda:1", "0", "1"), ("--device cuda", "CUDA_VISIBLE_DEVICES chooses which")),
        **dict.fromkeys(("metal", "apple"), ("--device mps", "the graphics of a Mac")),
    },
    "precision": {
        **dict.fromkeys(("half", "float16", "16", "amp", "16-mixed"), ("--precision fp16", "with a scaler of its own")),
        **dict.fromkeys(("bfloat16", "bf16-mixed"), ("--precision bf16", "weights stay float32")),
        **dict.fromkeys(("single", "32", "full"), ("--precision float32", "the default")),
        **dict.fromkeys(("double", "64"), ("--precision float64", "slower, for checks")),
    },
    "schedule": {
        "warmup": _WARMUP,
        **dict.fromkeys(("reduce_lr_on_plateau", "reducelronplateau"), _PLATEAU),
        **dict.fromkeys(("onecycle", "1cycle"), ("--schedule one_cycle", "up, then down")),
        **dict.fromkeys(("linear",), ("--schedule polynomial --schedule.power 1", "a straight line down to 0")),
        **dict.fromkeys(("none", "off", "fixed"), ("--schedule constant", "with --warmup 0 from the first step on")),
    },
    "loss": {
        **dict.fromkeys(
            ("bce", "binary_cross_entropy", "logloss", "log_loss", "ce", "nll"),
            ("--loss cross_entropy", "of two classes or more"),
        ),
        **dict.fromkeys(("weighted_cross_entropy", "class_weighted"), _WEIGHT),
        **dict.fromkeys(("l2", "squared_error"), ("--loss mse", "mean squared error")),
        **dict.fromkeys(("l1", "absolute_error"), ("--loss mae", "mean absolute error")),
        **dict.fromkeys(("smooth_l1", "smoothl1"), ("--loss huber", "squared near 0")),
        **dict.fromkeys(("pinball",), ("--loss quantile", "several levels at once")),
        **dict.fromkeys(("nll_gaussian", "gaussian"), ("--loss gaussian_nll", "mean and spread")),
    },
    "init": {
        **dict.fromkeys(("kaiming", "he", "kaiming_normal"), ("--init he_normal", "or he_uniform")),
        **dict.fromkeys(("kaiming_uniform",), ("--init he_uniform", "or he_normal")),
        **dict.fromkeys(("glorot", "xavier", "glorot_uniform"), ("--init xavier_uniform", "or xavier_normal")),
        **dict.fromkeys(("glorot_normal",), ("--init xavier_normal", "or xavier_uniform")),
    },
    "metrics": {
        **dict.fromkeys(("auc", "auroc", "roc"), ("--metrics roc_auc", "of more than two classes roc_auc_ovr")),
        **dict.fromkeys(("ap", "auprc", "pr_auc"), ("--metrics average_precision", "area under precision and recall")),
        **dict.fromkeys(("acc",), ("--metrics accuracy", "balanced_accuracy where classes are rare")),
        **dict.fromkeys(("tpr",), ("--metrics recall", "of the second class")),
        **dict.fromkeys(("tnr",), ("--metrics specificity", "of the first class")),
        **dict.fromkeys(("top_k", "topk", "top_k_accuracy"), ("--metrics top_7", "any number of likeliest classes")),
        **dict.fromkeys(
            ("quantile", "quantile_loss", "mean_pinball_loss", "d2_pinball"),
            ("--metrics pinball", "pinball_0.9 for one quantile"),
        ),
        **dict.fromkeys(("macro_f1",), ("--metrics f1_macro", "mean over classes")),
    },
    "sampler": {
        **dict.fromkeys(("nsga_ii", "nsgaii", "nsgaiisampler"), ("--sampler nsga2", "or nsga3 of three objectives")),
        **dict.fromkeys(("nsga_iii", "nsgaiii", "nsgaiiisampler"), ("--sampler nsga3", "or nsga2 of two objectives")),
        **dict.fromkeys(("bayes", "bayesian", "gpsampler", "skopt"), ("--sampler gp", "or tpe, the default")),
        **dict.fromkeys(("tpesampler", "hyperopt"), ("--sampler tpe", "the default")),
        **dict.fromkeys(("randomsampler", "randomsearch"), ("--sampler random", "independent draws")),
        **dict.fromkeys(("gridsampler", "gridsearch"), ("--sampler grid", "every combination")),
        **dict.fromkeys(("cma", "cma_es", "cmaessampler"), ("--sampler cmaes", "over numbers")),
        **dict.fromkeys(("sobol", "qmcsampler", "halton"), ("--sampler qmc", "Sobol's sequence")),
        **dict.fromkeys(("genetic", "evolutionary"), ("--sampler evolution", "or nsga2")),
        **dict.fromkeys(("population_based_training", "populationbasedtraining"), ("--sampler pbt", "side by side")),
        **dict.fromkeys(("hyperband", "bohb"), ("--pruner hyperband", "it goes with any sampler")),
        "asha": ("--pruner asha", "it goes with any sampler"),
    },
    "pruner": {
        **dict.fromkeys(("medianpruner", "medianstopping"), ("--pruner median", "the default")),
        **dict.fromkeys(("successive_halving", "successivehalvingpruner", "halving"), ("--pruner asha", "no waiting")),
        **dict.fromkeys(("off", "nop", "noppruner"), ("--pruner none", "every trial to its end")),
    },
    "model": {
        **dict.fromkeys(("transformer", "fttransformer"), ("--model ft_transformer", "attention over columns")),
        **dict.fromkeys(("ensemble",), ("--model packed", "several small networks, their mean")),
        **dict.fromkeys(("nn", "dense", "feedforward"), ("--model mlp", "layers one after the other")),
        **dict.fromkeys(("logistic", "linear_regression"), ("--model linear", "no hidden layer")),
    },
}


def hint_for_option(word: str, table: bool = False) -> str:
    """What to type for an option that another library has; '' for a word not listed. table: of a preparation."""
    stem, point, _ = word.partition(".")
    own = None if table or not point else QUALIFIED.get(stem)
    return _told(own or (TABLE_OPTIONS if table else OPTIONS).get(stem))


def hint_for_search(word: str) -> str:
    """The same for an option of a search."""
    return _told(SEARCH.get(word))


def hint_for_choice(name: str, word: object) -> str:
    """The same for a value of the option `name`."""
    return _told(CHOICES.get(name, {}).get(str(word).lower().replace("-", "_")))


def _told(hint: Hint | None) -> str:
    return f"write  {hint[0]}  ({hint[1]})" if hint else ""

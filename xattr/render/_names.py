"""Methods' names as people write them."""

_NAMES = {
    "grad_cam_elementwise": "Grad-CAM, element-wise",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "eigen_cam": "Eigen-CAM",
    "full_grad": "FullGrad",
}
_WORDS = {
    "cam": "CAM",
    "grad": "Grad",
    "smoothgrad": "SmoothGrad",
    "vargrad": "VarGrad",
    "xgrad": "XGrad",
    "xrai": "XRAI",
    "lrp": "LRP",
    "rise": "RISE",
    "lime": "LIME",
    "shap": "SHAP",
    "hsic": "HSIC",
    "deeplift": "DeepLIFT",
    "deepshap": "DeepSHAP",
    "finer": "FINER",
    "x": "×",
}


def plain_name(method: str) -> str:
    """A method's published name, from its name in the library.

    Example:
      >>> plain_name("grad_cam_plus_plus"), plain_name("integrated_gradients")
      ('Grad-CAM++', 'Integrated gradients')
      >>> plain_name("input_x_gradient"), plain_name("shapley_cam")
      ('Input × gradient', 'Shapley-CAM')
    """
    if method in _NAMES:
        return _NAMES[method]
    stem = method.removesuffix("_plus_plus")
    words = [_WORDS.get(word, word) for word in stem.split("_") if word]
    text = " ".join(words)
    if "cam" in stem.split("_"):
        text = text.replace(" CAM", "-CAM")
    text = text[:1].upper() + text[1:]
    return text + "++" if stem != method else text

"""Other programs' calls and parameters: on this filter, and in its own words."""

from nlmeans.compat.scikit_image import DimensionError as DimensionError
from nlmeans.compat.scikit_image import denoise_nl_means as denoise_nl_means
from nlmeans.compat.translation import Translation as Translation
from nlmeans.compat.translation import translate as translate
